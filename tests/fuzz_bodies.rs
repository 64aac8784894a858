//! The bodies of the targets in `fuzz/`, on mutations of well-formed samples. A second each, or
//! `ANTIPHON_FUZZ_SECONDS`; the seed is printed by a failure, with the input. What has ever failed
//! is kept in `fuzz/samples/TARGET/` and tried here each time, as are the fuzzer's seeds in
//! `fuzz/seeds/TARGET/`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use antiphon::rtp::packet::{Header, write_header};
use antiphon::rtp::rtcp::{ReportBlock, SenderInfo, write_compound};
use antiphon::rtp::xr::{DelaySince, VoipMetrics};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SDP: &[&[u8]] = &[
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
      m=audio 4000 RTP/AVP 0 8 101 13\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
      a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:30\r\na=sendonly\r\n\
      a=rtcp-mux\r\na=rtcp:4005 IN IP4 192.0.2.7\r\n",
    b"v=0\no=x 2 3 IN IP6 ::1\ns= \nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n\
      m=audio 6000/2 RTP/SAVP 97 0\nc=IN IP6 2001:db8::1\na=rtpmap:97 pcma/8000/1\na=inactive\n\
      a=maxptime:60\nm=image 0 udptl t38\n",
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
      m=audio 4000 RTP/AVP 111 63 9 98 110 126\r\na=rtpmap:111 opus/48000/2\r\n\
      a=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=20000;usedtx=1\r\n\
      a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:98 L16/16000\r\n\
      a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n\
      a=ptime:60\r\na=maxptime:40\r\n",
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
      m=audio 4000 RTP/SAVPF 0\r\n\
      a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\n\
      a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz WSH=64\r\n\
      a=crypto:3 AEAD_AES_128_GCM inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubA==\r\n\
      m=audio 4002 RTP/AVP 8\r\na=crypto:9 AES_CM_128_HMAC_SHA1_80 \
      inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n",
    b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n",
];

const CONFIG: &[&[u8]] = &[
    b"[sip]\nudp = [\"127.0.0.1:5060\"]\n[media]\nrtp_ports = \"10000-19999\"\n",
    b"[[route]]\nuser = \"^1(\\\\d+)$\"\napp = \"echo\"\nsource = [\"10.0.0.0/8\"]\n[[route]]\nuser = 'x'\napp = \"play\"\nfile = \"a.wav\"\n",
    b"[limits]\nmax_calls = 10\n[recording]\ndirectory = \"x\"\n[conference]\nmax_members = 3\n[server]\nlog_format = \"json\"\n",
];

/// A target's name, and its body.
type Target = (&'static str, fn(&[u8]));

/// All targets. One that is missing here has no regression samples: the test below says so.
const TARGETS: &[Target] = &[
    ("authorization", antiphon::sip::fuzz::authorization),
    ("codec", antiphon::codec::fuzz::payloads),
    ("config", antiphon::config::fuzz::config),
    ("dtmf", antiphon::dtmf::fuzz::digits),
    ("endpoint", endpoint_script),
    ("redundancy", antiphon::rtp::fuzz::redundancy),
    ("rtcp", antiphon::rtp::fuzz::control),
    ("rtp", antiphon::rtp::fuzz::packets),
    ("sdp", antiphon::sdp::fuzz::description),
    ("sip_message", antiphon::sip::fuzz::message),
    ("sip_uri", antiphon::sip::fuzz::uri),
    ("srtp", antiphon::srtp::fuzz::packets),
    ("wav", antiphon::wav::fuzz::file),
    ("web_socket", antiphon::net::fuzz::web_socket),
];

fn endpoint_script(bytes: &[u8]) {
    antiphon::switch::fuzz::script(bytes, Instant::now());
}

/// Every file below this directory of `fuzz/`, of this target.
fn files(directory: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(directory)
        .join(target);
    let Ok(entries) = fs::read_dir(&path) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_kept_sample_and_every_seed_passes() {
    for (target, body) in TARGETS {
        for directory in ["samples", "seeds"] {
            for (name, bytes) in files(directory, target) {
                let result = catch_unwind(AssertUnwindSafe(|| body(&bytes)));
                assert!(result.is_ok(), "{name}");
            }
        }
    }
    assert!(files("seeds", "endpoint").len() > 15, "the seeds are found");
}

#[test]
fn every_target_is_tried_here() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(targets)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known);
}

#[test]
fn endpoint() {
    let seeds = files("seeds", "endpoint");
    let samples: Vec<&[u8]> = seeds.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    mutate(9, &samples, endpoint_script);
}

#[test]
fn sdp() {
    mutate(1, SDP, antiphon::sdp::fuzz::description);
}

#[test]
fn config() {
    let whole = antiphon::config::Config::default().to_toml_with_defaults();
    let mut samples = CONFIG.to_vec();
    samples.push(whole.as_bytes());
    mutate(2, &samples, antiphon::config::fuzz::config);
}

#[test]
fn rtp() {
    let mut run = Vec::new();
    for i in 0..12u16 {
        let mut packet = [7; 30];
        let header = Header {
            seq: SeqNo(65_530u16.wrapping_add(i)),
            ssrc: Ssrc(5),
            ..Header::default()
        };
        write_header(&mut packet, &header);
        run.push(30);
        run.extend_from_slice(&packet);
    }
    mutate(3, &[&run], antiphon::rtp::fuzz::packets);
}

#[test]
fn rtcp() {
    let blocks = [ReportBlock::default(); 2];
    let info = SenderInfo::default();
    let sample = |sender| {
        let mut buffer = [0; 256];
        let len = write_compound(&mut buffer, Ssrc(1), sender, &blocks, "name", true);
        buffer[..len].to_vec()
    };
    let (first, second) = (sample(Some(&info)), sample(None));
    let mut extended = second.clone();
    let mut buffer = [0; 128];
    let metrics = VoipMetrics::default();
    let answer = DelaySince::default();
    let len = antiphon::rtp::xr::write(&mut buffer, Ssrc(1), Some(&metrics), Some(&answer));
    extended.extend_from_slice(&buffer[..len]);
    extended.extend_from_slice(&[
        0x80, 207, 0, 4, 0, 0, 0, 1, 4, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 6,
    ]);
    let samples: [&[u8]; 3] = [&first, &second, &extended];
    mutate(4, &samples, antiphon::rtp::fuzz::control);
}

#[test]
fn wav() {
    let mut writer = antiphon::wav::Writer::create(std::io::Cursor::new(Vec::new()), 8000).unwrap();
    writer.write(&[1000; 300]).unwrap();
    let ours = writer.finish().unwrap().into_inner();
    let theirs = |format: hound::SampleFormat, bits, channels| {
        let mut out = std::io::Cursor::new(Vec::new());
        let spec = hound::WavSpec {
            channels,
            sample_rate: 16_000,
            bits_per_sample: bits,
            sample_format: format,
        };
        let mut writer = hound::WavWriter::new(&mut out, spec).unwrap();
        for i in 0..200 * i32::from(channels) {
            match format {
                hound::SampleFormat::Int => writer.write_sample(i % 100).unwrap(),
                hound::SampleFormat::Float => writer.write_sample(i as f32 / 1e4).unwrap(),
            }
        }
        writer.finalize().unwrap();
        out.into_inner()
    };
    let files = [
        ours,
        theirs(hound::SampleFormat::Int, 8, 2),
        theirs(hound::SampleFormat::Int, 24, 3),
        theirs(hound::SampleFormat::Float, 32, 1),
    ];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    mutate(5, &files, antiphon::wav::fuzz::file);
}

#[test]
fn dtmf() {
    let mut run = Vec::new();
    for i in 0..12u16 {
        let mut packet = [7; 16];
        let header = Header {
            payload_type: PayloadType(101 - u8::from(i % 4 == 3)),
            seq: SeqNo(65_530u16.wrapping_add(i)),
            timestamp: Timestamp(u32::from(i / 4) * 1600),
            ssrc: Ssrc(5),
            marker: i % 4 == 0,
        };
        write_header(&mut packet, &header);
        packet[12..].copy_from_slice(&[i as u8 / 4, 0x8a, 3, 0x20]);
        run.push(16);
        run.extend_from_slice(&packet);
    }
    mutate(6, &[&run, &[0x40; 4000]], antiphon::dtmf::fuzz::digits);
}

#[test]
fn redundancy() {
    let two = [
        0xef, 0x0f, 0x00, 0x02, 0xe0, 0x1e, 0x00, 0x03, 111, 1, 2, 3, 4, 5, 6, 7,
    ];
    mutate(8, &[&two, &[8, 1, 2]], antiphon::rtp::fuzz::redundancy);
}

#[test]
fn srtp() {
    let mut run = Vec::new();
    for i in 0..12u16 {
        let mut packet = [7; 40];
        let header = Header {
            seq: SeqNo(65_530u16.wrapping_add(i)),
            ssrc: Ssrc(5),
            ..Header::default()
        };
        write_header(&mut packet, &header);
        packet[0] |= [0, 0x10, 2][usize::from(i) % 3];
        run.push(40);
        run.extend_from_slice(&packet);
    }
    let report = [20, 0x80, 201, 0, 1, 0, 0, 0, 5, 0x81, 203, 0, 1, 0, 0, 0, 5];
    mutate(9, &[&run, &report], antiphon::srtp::fuzz::packets);
}

#[test]
fn web_socket() {
    let frame = |first: u8, text: &[u8]| {
        let mut frame = vec![first, 0x80 | text.len() as u8, 1, 2, 3, 4];
        frame.extend(
            text.iter()
                .zip([1, 2, 3, 4].iter().cycle())
                .map(|(b, k)| b ^ k),
        );
        frame
    };
    let whole = frame(0x81, b"BYE sip:a SIP/2.0\r\nCSeq: 1 BYE\r\n\r\n");
    let halves = [
        frame(0x01, b"BYE "),
        frame(0x89, b"ping"),
        frame(0x80, b"sip:a SIP/2.0"),
    ];
    let long = [
        &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0][..],
        b"\r\n\r\n12345",
    ]
    .concat();
    let samples = [whole, halves.concat(), long, frame(0x88, &[3, 0xe8])];
    let samples: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
    mutate(11, &samples, antiphon::net::fuzz::web_socket);
}

#[test]
fn authorization() {
    let samples: [&[u8]; 4] = [
        b"Digest username=\"alice\", realm=\"antiphon\", nonce=\"00ff\", uri=\"sip:h\", \
          response=\"8ca523f5e9506fed4657c9700eebdbec\", algorithm=MD5, qop=auth, nc=00000001, \
          cnonce=\"a\\\"b\", opaque=\"x\"",
        b"Digest username=a,realm=\"r, s\",nonce=n,uri=sip:h,response=0",
        b"Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth,auth-int\", stale=TRUE",
        b"Basic YTpi",
    ];
    mutate(10, &samples, antiphon::sip::fuzz::authorization);
}

#[test]
fn codec() {
    use antiphon::codec::{Codec, Encoder, OpusSettings};
    let runs = [
        (Codec::Opus, 16_000),
        (Codec::Opus, 40_000),
        (Codec::G722, 0),
    ]
    .map(|(codec, bitrate)| {
        let settings = OpusSettings {
            bitrate: bitrate.max(6000),
            expected_loss: 20,
            ..OpusSettings::default()
        };
        let mut encoder = Encoder::new(codec, &settings).unwrap();
        let mut run = Vec::new();
        for frame in 0..6usize {
            let ms = [10, 20, 40][frame % 3];
            let pcm: Vec<i16> = (0..codec.frame_samples(ms))
                .map(|n| ((n * n / 97 % 200) as i16 - 100) * 60)
                .collect();
            let mut payload = [0; 255];
            let len = encoder.encode(&pcm, &mut payload);
            run.push(len as u8);
            run.extend_from_slice(&payload[..len]);
        }
        run
    });
    // Counts, padding and lengths of frames (RFC 6716 §3.2.5).
    let counted = [
        9, 0x83, 0xc3, 1, 2, 2, 1, 2, 3, 0, 6, 0x0b, 0x83, 1, 1, 9, 9,
    ];
    let samples = [&runs[0][..], &runs[1], &runs[2], &counted];
    mutate(7, &samples, antiphon::codec::fuzz::payloads);
}

/// Calls `body` with the samples as they are, then with mutations until the time is up.
fn mutate(seed: u64, samples: &[&[u8]], body: fn(&[u8])) {
    let seconds = std::env::var("ANTIPHON_FUZZ_SECONDS")
        .ok()
        .map_or(1, |s| s.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut random = StdRng::seed_from_u64(seed);
    let mut runs = 0u64;
    for sample in samples {
        body(sample);
    }
    while Instant::now() < until {
        let mut bytes = samples[random.random_range(0..samples.len())].to_vec();
        for _ in 0..random.random_range(1..8) {
            change(&mut bytes, samples, &mut random);
        }
        let result = catch_unwind(AssertUnwindSafe(|| body(&bytes)));
        assert!(
            result.is_ok(),
            "run {runs} of seed {seed}: {}",
            bytes.escape_ascii()
        );
        runs += 1;
    }
    println!("{runs} inputs");
}

fn change(bytes: &mut Vec<u8>, samples: &[&[u8]], random: &mut StdRng) {
    if bytes.is_empty() {
        bytes.push(random.random());
    }
    let at = random.random_range(0..bytes.len());
    let len = random.random_range(0..=(bytes.len() - at).min(40));
    match random.random_range(0..9) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b'\n'][random.random_range(0..8)],
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..at + len)),
        5 => {
            let piece = bytes[at..at + len].to_vec();
            let to = random.random_range(0..=bytes.len());
            drop(bytes.splice(to..to, piece));
        }
        6 => {
            let other = samples[random.random_range(0..samples.len())];
            let from = random.random_range(0..other.len());
            let end = (from + len).min(other.len());
            drop(bytes.splice(at..at + len, other[from..end].iter().copied()));
        }
        7 => {
            let number = random.random::<u64>() >> random.random_range(0..64);
            drop(bytes.splice(at..at, number.to_string().into_bytes()));
        }
        _ => bytes.insert(at, random.random()),
    }
}
