//! A leg and what is on its wire: what counts as lost, what is a digit, what takes a number.

use antiphon::audio::MediaTime;
use antiphon::audio::process::ProcessSettings;
use antiphon::codec::Codec;
use antiphon::dtmf::Digit;
use antiphon::leg::{Coding, EventFormat, Keying, Leg, LegParams, MediaTotals, Outgoing, TickTime};
use antiphon::rtp::packet::{Header, Packet, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::srtp::{MasterKey, Suite};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::support::sim::leg::{ID, Io, peer, settings};

struct Wire {
    leg: Leg,
    io: Io,
    tick: u64,
    seq: u16,
    /// A packet waits for its slot.
    holds: bool,
}

impl Wire {
    fn new(params: LegParams) -> Self {
        Self {
            leg: Leg::new(ID, params, settings()).unwrap(),
            io: Io::default(),
            tick: 0,
            seq: 0,
            holds: false,
        }
    }

    fn now(&self) -> MediaTime {
        MediaTime::from_millis(1000 + self.tick * 20)
    }

    /// The next packet of the party.
    fn comes(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let header = Header {
            payload_type: PayloadType(payload_type),
            seq: SeqNo(self.seq),
            timestamp: Timestamp(timestamp),
            ssrc: Ssrc(7),
            marker,
        };
        let mut bytes = vec![0; 12];
        write_header(&mut bytes, &header);
        bytes.extend(payload);
        self.seq = self.seq.wrapping_add(1);
        self.io.coming.push((bytes, self.now()));
    }

    /// Its voice.
    fn audio(&mut self, payload_type: u8) {
        self.comes(payload_type, false, self.tick as u32 * 160, &[0x90; 160]);
    }

    fn tick(&mut self) -> Option<Digit> {
        let time = TickTime {
            now: self.now(),
            ntp: 0,
        };
        let mut rx = [0; 1920];
        let rx = &mut rx[..self.leg.tick_samples()];
        if std::mem::take(&mut self.holds) {
            self.leg.tick_held(&mut self.io);
        }
        self.leg.tick_rx(rx, time, &mut self.io);
        let (held, _) = self.leg.tick_tx(Outgoing::own(rx), time, &mut self.io);
        self.holds = held;
        self.tick += 1;
        self.leg.take_digit(time.now)
    }
}

#[test]
fn what_cannot_be_played_is_not_lost() {
    let mut wire = Wire::new(LegParams::g711(Codec::Pcmu, Some(peer())));
    for tick in 0..100 {
        wire.audio(0);
        if tick % 10 == 5 {
            wire.comes(107, false, tick * 320, &[1; 80]);
        }
        wire.tick();
    }
    let stats = wire.leg.stats();
    assert_eq!((stats.receive.lost, stats.counts.unknown_type), (0, 10));
    assert_eq!(stats.playout.concealed_samples, 0);
    assert_eq!(stats.receive.packets, 100);
}

#[test]
fn a_key_is_a_digit_on_either_of_the_two_types_that_were_offered() {
    let mut params = LegParams::g711(Codec::Pcmu, Some(peer()));
    params.events = Some(EventFormat {
        rx: 101,
        tx: 101,
        clock_rate: 48_000,
    });
    params.events_beside = Some(102);
    let mut wire = Wire::new(params);
    let mut digits = String::new();
    for tick in 0..200u32 {
        let (from, payload_type) = if tick < 100 { (20, 101) } else { (120, 102) };
        match tick.checked_sub(from) {
            Some(at @ 0..5) => {
                let clock = if payload_type == 101 { 960 } else { 160 };
                let [high, low] = ((at + 1) as u16 * clock).to_be_bytes();
                let end = if at == 4 { 0x8a } else { 0x0a };
                wire.comes(payload_type, at == 0, from * 160, &[5, end, high, low]);
            }
            _ => wire.audio(0),
        }
        digits.extend(wire.tick().map(|digit| digit.to_string()));
    }
    assert_eq!(digits, "55");
}

#[test]
fn without_rtcp_on_the_port_every_number_is_audio() {
    for (rtcp_mux, taken) in [(false, 50), (true, 0)] {
        let mut params = LegParams::g711(Codec::Pcmu, Some(peer()));
        // With the marker its second byte is that of a sender report.
        params.rx_types[0] = Some((72, Codec::Pcmu));
        params.rtcp_mux = rtcp_mux;
        let mut wire = Wire::new(params);
        for tick in 0..50 {
            wire.comes(72, true, tick * 160, &[0x90; 160]);
            wire.tick();
        }
        assert_eq!(wire.leg.stats().receive.packets, taken, "mux {rtcp_mux}");
    }
}

#[test]
fn what_has_no_key_yet_takes_no_number() {
    let mut wire = Wire::new(LegParams::g711(Codec::Pcmu, Some(peer())));
    let now = wire.now();
    wire.leg.rekey(&mut Keying::srtp(None, None), now);
    for _ in 0..20 {
        wire.tick();
    }
    assert!(wire.io.rtp().is_empty());
    assert_eq!(wire.leg.stats().send.packets, 0);
    let key = MasterKey::random(Suite::AesCm128HmacSha1_80, &mut StdRng::seed_from_u64(1));
    let now = wire.now();
    wire.leg.rekey(&mut Keying::srtp(None, Some(&key)), now);
    for _ in 0..5 {
        wire.tick();
    }
    assert_eq!(wire.io.rtp().len(), 5);
    let first = Packet::parse(wire.io.rtp()[0]).unwrap();
    assert!(first.marker && first.seq.0 == settings().first_sequence);
    assert_eq!(wire.leg.stats().send.packets, 5);
}

#[test]
fn another_codec_goes_on_with_the_line_the_numbers_and_the_figures() {
    let mut params = LegParams::g711(Codec::Pcmu, Some(peer()));
    params.ptime_ms = 30;
    let mut wire = Wire::new(params);
    let codecs = [Codec::Pcmu, Codec::Opus, Codec::Pcmu];
    let mut sent = 0;
    let (mut sums, mut concealed_in_all) = (MediaTotals::default(), 0);
    for (n, codec) in codecs.into_iter().enumerate() {
        let mut params = LegParams::g711(codec, Some(peer()));
        params.ptime_ms = if codec == Codec::Opus { 20 } else { 30 };
        params.tx_payload_type = [0, 96, 8][n];
        params.rx_types[0] = Some((params.tx_payload_type, codec));
        params.rx_types[1] = Some((0, Codec::Pcmu));
        let mut coding = (n > 0)
            .then(|| Box::new(Coding::new(&params, 200, ProcessSettings::default()).unwrap()));
        let now = wire.now();
        wire.leg.configure(params, coding.as_deref_mut(), now);
        // Of PCMU one in ten is lost: it is concealed for 20 ms.
        let before = wire.leg.stats().concealed_ms();
        for tick in 0..101u64 {
            if tick % 10 == 3 {
                wire.seq = wire.seq.wrapping_add(1);
            } else {
                wire.audio(0);
            }
            wire.tick();
            if tick == 50 || (n == 2 && tick == 100) {
                let before = sums.concealed_samples;
                wire.leg.count_now(true, &mut sums);
                assert!(sums.concealed_samples >= before, "a sum only grows");
            }
        }
        let concealed = wire.leg.stats().concealed_ms() - before;
        assert!((120..400).contains(&concealed), "{codec:?}: {concealed} ms");
        concealed_in_all += concealed;
        sent = wire.io.rtp().len();
    }
    let counted = sums.concealed_us / 1000;
    assert!(
        counted.abs_diff(concealed_in_all) <= 2,
        "{counted} ms of {concealed_in_all}"
    );
    let sent_rtp = wire.io.rtp();
    let packets: Vec<_> = sent_rtp.iter().map(|p| Packet::parse(p).unwrap()).collect();
    assert!(sent > 200);
    for pair in packets.windows(2) {
        let [a, b] = pair else { unreachable!() };
        assert_eq!(b.seq.0, a.seq.0.wrapping_add(1), "no number is missing");
        let step = b.timestamp.distance(a.timestamp);
        assert!((0..=2000).contains(&step), "{step} from {a:?} to {b:?}");
    }
    // Less than 30 ms wait for more.
    assert!(wire.leg.stats().send.packets - packets.len() as u64 <= 1);
}
