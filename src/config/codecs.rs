//! `media.codecs` and `[media.opus]`: which codecs, and how Opus is sent.

use crate::codec::{Codec, OpusSettings};

use super::print::Printer;
use super::reader::Table;

/// What an entry of `media.codecs` may be.
const NAMES: &str =
    "\"pcmu\", \"pcma\", \"g722\", \"opus\", \"l16/8000\", \"l16/16000\" or \"l16/48000\"";

/// Reads the list; an empty or refused one gives PCMU.
pub(super) fn read(table: &mut Table<'_, '_>) -> Vec<Codec> {
    let default = vec![Codec::Pcmu, Codec::Pcma];
    let mut codecs = table.list("codecs", default, NAMES, codec);
    if codecs.is_empty()
        && let Some(value) = table.find("codecs")
    {
        // An entry that was refused has been reported, and left the list short.
        let list = value.get_ref().as_array();
        if list.is_some_and(|list| list.is_empty()) {
            table.refuse("codecs", value, format!("at least one of {NAMES}"));
        }
        codecs.push(Codec::Pcmu);
    }
    codecs
}

/// A codec as the list names it: its RTP name in small letters, L16 with its rate.
pub(super) fn key(codec: Codec) -> String {
    let name = codec.name().to_ascii_lowercase();
    match codec {
        Codec::L16Narrow | Codec::L16Wide | Codec::L16Full => {
            format!("{name}/{}", codec.clock_rate())
        }
        _ => name,
    }
}

fn codec(text: &str) -> Option<Codec> {
    let mut all = Codec::ALL.into_iter();
    all.find(|codec| key(*codec).eq_ignore_ascii_case(text))
}

/// Reads `[media.opus]`.
pub(super) fn read_opus(mut table: Table<'_, '_>) -> OpusSettings {
    let default = OpusSettings::default();
    let settings = OpusSettings {
        bitrate: table.number("bitrate", default.bitrate, OpusSettings::BITRATE),
        complexity: table.number("complexity", default.complexity, OpusSettings::COMPLEXITY),
        fec: table.boolean("fec", default.fec),
        dtx: table.boolean("dtx", default.dtx),
        cbr: table.boolean("cbr", default.cbr),
        expected_loss: table.number(
            "expected_loss",
            default.expected_loss,
            OpusSettings::EXPECTED_LOSS,
        ),
        max_playback_rate: table.number(
            "max_playback_rate",
            default.max_playback_rate,
            OpusSettings::PLAYBACK_RATE,
        ),
    };
    table.finish();
    settings
}

pub(super) fn print_opus(settings: &OpusSettings, out: &mut Printer) {
    out.section("[media.opus]");
    out.key(
        "bitrate",
        i64::from(settings.bitrate),
        "Bit/s to send, unless the peer takes less, and to ask for.",
    );
    out.key(
        "complexity",
        i64::from(settings.complexity),
        "The encoder's effort.",
    );
    out.key(
        "fec",
        settings.fec,
        "Whether each packet repeats the one before it coarsely, where the peer can use that.",
    );
    out.key(
        "dtx",
        settings.dtx,
        "Whether silence is not sent, where the peer likes that.",
    );
    out.key("cbr", settings.cbr, "Whether the bit rate is constant.");
    out.key(
        "expected_loss",
        i64::from(settings.expected_loss),
        "The loss to arm against, percent; 0: no fec.",
    );
    out.key(
        "max_playback_rate",
        i64::from(settings.max_playback_rate),
        "The highest sampling rate to send and to ask for, Hz.",
    );
}
