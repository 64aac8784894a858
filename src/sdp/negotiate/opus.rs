//! The parameters of Opus in `a=fmtp` (RFC 7587 §6.1): each side says what it likes to receive.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::codec::OpusSettings;

/// What to send to a peer with these parameters: as ours say, as far as it wants that.
///
/// What is out of range, doubled after the first, or unknown is passed over; without parameters the
/// RFC's defaults count. `stereo` asks for what we may leave out, and what a peer says of its own
/// sending (`sprop-stereo`, `sprop-maxcapturerate`) changes nothing for us.
pub(super) fn settings_for(parameters: Option<&str>, ours: OpusSettings) -> OpusSettings {
    let parameters = parameters.unwrap_or_default();
    let number = |name: &str, allowed: RangeInclusive<u32>| {
        let number: u32 = value(parameters, name)?.parse().ok()?;
        allowed.contains(&number).then_some(number)
    };
    let wants = |name| value(parameters, name) == Some("1");
    let rate = number("maxplaybackrate", OpusSettings::PLAYBACK_RATE);
    let bitrate = number("maxaveragebitrate", OpusSettings::BITRATE);
    OpusSettings {
        bitrate: bitrate.map_or(ours.bitrate, |most| most.min(ours.bitrate)),
        max_playback_rate: rate.map_or(ours.max_playback_rate, |most| {
            most.min(ours.max_playback_rate)
        }),
        fec: ours.fec && wants("useinbandfec"),
        dtx: ours.dtx && wants("usedtx"),
        cbr: ours.cbr || wants("cbr"),
        ..ours
    }
}

/// Our own parameters. What is the RFC's default is left out.
pub(super) fn parameters(ours: &OpusSettings) -> String {
    let mut text = format!("maxaveragebitrate={}", ours.bitrate);
    let rate = ours.max_playback_rate;
    if rate < *OpusSettings::PLAYBACK_RATE.end() {
        let _ = write!(text, ";maxplaybackrate={rate};sprop-maxcapturerate={rate}");
    }
    for (is_wanted, name) in [
        (ours.fec, "useinbandfec"),
        (ours.dtx, "usedtx"),
        (ours.cbr, "cbr"),
    ] {
        if is_wanted {
            let _ = write!(text, ";{name}=1");
        }
    }
    text
}

/// The first value of a parameter; names in any case.
fn value<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = parameters
        .split(';')
        .filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| key.trim().eq_ignore_ascii_case(name).then(|| value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: OpusSettings = OpusSettings {
        bitrate: 32_000,
        complexity: 7,
        fec: true,
        dtx: true,
        cbr: false,
        max_playback_rate: 48_000,
        expected_loss: 5,
    };

    #[test]
    fn the_peer_bounds_what_we_send() {
        // Nothing said: no FEC, no DTX.
        let plain = OpusSettings {
            fec: false,
            dtx: false,
            ..OURS
        };
        for (parameters, expected) in [
            ("", plain),
            ("useinbandfec=1", OpusSettings { fec: true, ..plain }),
            (" USEDTX = 1 ; x", OpusSettings { dtx: true, ..plain }),
            ("cbr=1;stereo=1", OpusSettings { cbr: true, ..plain }),
            (
                "maxaveragebitrate=20000; maxplaybackrate=16000",
                OpusSettings {
                    bitrate: 20_000,
                    max_playback_rate: 16_000,
                    ..plain
                },
            ),
            // More than we send; out of range; no number; the first one counts.
            ("maxaveragebitrate=64000", plain),
            ("maxaveragebitrate=5999;maxplaybackrate=7999", plain),
            ("maxaveragebitrate=510001;maxplaybackrate=96000", plain),
            (
                "maxaveragebitrate=-1;maxplaybackrate=99999999999999999999",
                plain,
            ),
            ("useinbandfec=2;usedtx=;cbr;=;;==1", plain),
            ("usedtx=0;usedtx=1", plain),
            (
                "sprop-stereo=1;sprop-maxcapturerate=8000;minptime=10",
                plain,
            ),
        ] {
            assert_eq!(
                settings_for(Some(parameters), OURS),
                expected,
                "{parameters}"
            );
        }
        assert_eq!(settings_for(None, OURS), plain);
        // What we do not do is not done for the asking.
        let ours = OpusSettings { cbr: true, ..plain };
        let all = "useinbandfec=1;usedtx=1;cbr=0";
        assert_eq!(settings_for(Some(all), ours), ours);
    }

    #[test]
    fn ours_say_what_we_like_to_receive() {
        assert_eq!(
            parameters(&OURS),
            "maxaveragebitrate=32000;useinbandfec=1;usedtx=1"
        );
        let narrow = OpusSettings {
            max_playback_rate: 16_000,
            fec: false,
            dtx: false,
            cbr: true,
            ..OURS
        };
        assert_eq!(
            parameters(&narrow),
            "maxaveragebitrate=32000;maxplaybackrate=16000;sprop-maxcapturerate=16000;cbr=1"
        );
        // Two of us agree on what both are set to.
        assert_eq!(settings_for(Some(&parameters(&OURS)), OURS), OURS);
        assert_eq!(settings_for(Some(&parameters(&narrow)), narrow), narrow);
    }
}
