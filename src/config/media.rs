//! `[media]`, `[recording]`, `[prompts]` and `[conference]`: what is done with audio.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::audio::NARROWBAND;
use crate::codec::{Codec, OpusSettings};
use crate::sdp::SrtpPolicy;
use crate::srtp::Suite;

use super::codecs;
use super::error::Fault;
use super::print::{Printer, seconds};
use super::processing::Processing;
use super::reader::{Table, integer, text};
use super::room_recording::read_rate;
use super::signalling::{positive, to_i64};
use super::srtp;

/// `[media]`: RTP and the media threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The ports for RTP and RTCP: the first even, the last odd.
    pub rtp_ports: RangeInclusive<u16>,
    /// The number of media threads; none: one per core.
    pub workers: Option<usize>,
    /// The SCHED_FIFO priority of the media threads; none: normal scheduling.
    pub realtime_priority: Option<u8>,
    /// Whether packets are sent many at once by io_uring, where permitted.
    pub io_uring: bool,
    /// Whether memory is asked for in pages of 2 MB, where the system gives them.
    pub huge_pages: bool,
    /// The network interface by which RTP takes a way past the network stack (AF_XDP), if any.
    pub xdp_interface: Option<String>,
    /// The codecs, preferred first.
    pub codecs: Vec<Codec>,
    /// `[media.opus]`: how Opus is sent, and asked for.
    pub opus: OpusSettings,
    /// The packet time where the peer asks for none, ms.
    pub ptime_ms: u8,
    /// The most delay that the jitter buffer adds, ms.
    pub jitter_max_ms: u32,
    /// How long neither RTP nor RTCP may arrive before the call is ended; none: for ever.
    pub timeout: Option<Duration>,
    /// Whether media is taken from any address until a party is heard, and not only from where it signals.
    pub latch_anywhere: bool,
    /// How long a port rests between two calls.
    pub port_rest: Duration,
    /// Whether digits are sought in the audio of peers that send no telephone events.
    pub inband_dtmf: bool,
    /// Whether peers are asked for VoIP metrics (RFC 3611), and get ours.
    pub rtcp_xr: bool,
    /// Whether media is encrypted, where the route does not say.
    pub srtp: SrtpPolicy,
    /// The suites of SRTP that may be used, preferred first.
    pub srtp_suites: Vec<Suite>,
    /// Calls that are placed offer SRTP with keys by DTLS: no key of the file, but `antiphon call --dtls`.
    pub dtls: bool,
    /// `[media.processing]`: what is done to each party's audio.
    pub processing: Processing,
}

/// `[recording]`: where recordings go and how long they get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Where recordings go.
    pub directory: PathBuf,
    /// The longest recording.
    pub max: Duration,
    /// Whether a beep is played before.
    pub beep: bool,
    /// The silence that ends a recording; none: silence does not.
    pub silence: Option<Duration>,
    /// The space on the disk that is left free, MB; 0: none.
    pub min_free_mb: u64,
    /// The sampling rate of calls' recordings and of messages, Hz.
    pub rate: u32,
    /// Whether recordings of calls have what the call hears beside what it says; messages and names never.
    pub stereo: bool,
}

/// `[prompts]`: where spoken texts come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// WAV files that override the built-in prompts by name and add languages.
    pub directory: Option<PathBuf>,
    /// The language of prompts.
    pub language: String,
}

/// `[conference]`: rooms.
#[derive(Clone, PartialEq, Eq)]
pub struct Conference {
    /// Whether a lone member is told so.
    pub lone_prompt: bool,
    /// The most members of a room.
    pub max_members: usize,
    /// The most rooms.
    pub max_rooms: usize,
    /// Who rooms are that call somebody: the user of From.
    pub dial_user: String,
    /// The password of that user, where it is asked for.
    pub dial_password: Option<String>,
    /// How long who is called may take to answer.
    pub dial_time: Duration,
}

impl std::fmt::Debug for Conference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conference")
            .field("lone_prompt", &self.lone_prompt)
            .field("max_members", &self.max_members)
            .field("max_rooms", &self.max_rooms)
            .field("dial_user", &self.dial_user)
            .field("dial_time", &self.dial_time)
            .finish_non_exhaustive()
    }
}

/// The most members of a room that can be configured.
pub(super) const MEMBERS: RangeInclusive<usize> = 1..=100_000;
/// The seconds of a recording: a day of 16-bit samples stays well below a WAV's 4 GiB.
pub(super) const RECORDING_SECONDS: RangeInclusive<u64> = 1..=86_400;
/// The seconds of silence that end a recording.
pub(super) const SILENCE_SECONDS: RangeInclusive<u64> = 0..=3_600;

impl Media {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let rtp_ports = table.value(
            "rtp_ports",
            10_000..=19_999,
            "a range \"first-last\" with first < last, first even and last odd",
            |value| port_range(value.as_str()?),
        );
        let workers = table.number("workers", 0usize, 0..=64);
        let realtime_priority = table.number("realtime_priority", 20u8, 0..=99);
        let io_uring = table.boolean("io_uring", true);
        let huge_pages = table.boolean("huge_pages", true);
        let xdp_interface: String = table.value(
            "xdp_interface",
            String::new(),
            "the name of a network interface such as \"eth0\", of at most 15 letters, or \"\"",
            |value| Some(value.as_str()?.to_owned()).filter(|name| is_interface(name)),
        );
        let codecs = codecs::read(&mut table);
        let ptime_ms = table.value("ptime_ms", 20, "10, 20, 30, 40, 50 or 60", |value| {
            let number = u8::try_from(integer(value)?).ok()?;
            ((10..=60).contains(&number) && number % 10 == 0).then_some(number)
        });
        let jitter_max_ms = table.number("jitter_max_ms", 200, 20..=1_000);
        let timeout = positive(table.number("timeout_seconds", 60, 0..=86_400));
        let latch_anywhere = table.value(
            "latch",
            false,
            "\"signalled\" or \"anywhere\"",
            |value| match value.as_str()? {
                "signalled" => Some(false),
                "anywhere" => Some(true),
                _ => None,
            },
        );
        let port_rest = Duration::from_secs(table.number("port_rest_seconds", 5, 0..=600));
        let inband_dtmf = table.boolean("inband_dtmf", true);
        let opus = codecs::read_opus(table.section("opus"));
        let rtcp_xr = table.boolean("rtcp_xr", true);
        let srtp = srtp::read_policy(&mut table).unwrap_or(SrtpPolicy::Optional);
        let srtp_suites = srtp::read_suites(&mut table);
        let processing = Processing::read(table.subsection("processing", "media.processing"));
        table.finish();
        Media {
            rtp_ports,
            workers: (workers > 0).then_some(workers),
            realtime_priority: (realtime_priority > 0).then_some(realtime_priority),
            io_uring,
            huge_pages,
            xdp_interface: Some(xdp_interface).filter(|name| !name.is_empty()),
            codecs,
            opus,
            ptime_ms,
            jitter_max_ms,
            timeout,
            latch_anywhere,
            port_rest,
            inband_dtmf,
            rtcp_xr,
            srtp,
            srtp_suites,
            dtls: false,
            processing,
        }
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[media]");
        let (first, last) = (self.rtp_ports.start(), self.rtp_ports.end());
        out.key(
            "rtp_ports",
            format!("{first}-{last}"),
            "The ports for RTP (even) and RTCP (odd); two for each call.",
        );
        out.key(
            "workers",
            to_i64(self.workers.unwrap_or(0)),
            "The number of media threads; 0: one per core.",
        );
        out.key(
            "realtime_priority",
            i64::from(self.realtime_priority.unwrap_or(0)),
            "The SCHED_FIFO priority of the media threads, where permitted; 0: off.",
        );
        out.key(
            "io_uring",
            self.io_uring,
            "Whether packets are sent many at once by io_uring, where the system permits it.",
        );
        out.key(
            "huge_pages",
            self.huge_pages,
            "Whether memory is asked for in pages of 2 MB, where the system gives them.",
        );
        out.key(
            "xdp_interface",
            self.xdp_interface.as_deref().unwrap_or(""),
            "The Ethernet interface by which RTP over IPv4 takes a way past the network stack (AF_XDP), and its\n\
             firewall: less than half the CPU time of a packet. \"\": none. See docs/xdp.md.",
        );
        let codecs: Vec<String> = self.codecs.iter().copied().map(codecs::key).collect();
        out.list("codecs", &codecs, "The codecs, preferred first.");
        out.key(
            "ptime_ms",
            i64::from(self.ptime_ms),
            "The packet time where the peer asks for none: 10 to 60 in tens.",
        );
        out.key(
            "jitter_max_ms",
            i64::from(self.jitter_max_ms),
            "The most delay that the jitter buffer adds.",
        );
        out.key(
            "timeout_seconds",
            self.timeout.map_or(0, seconds),
            "A call without RTP and RTCP for so long, not on hold, is ended; 0: never.",
        );
        let latch = if self.latch_anywhere {
            "anywhere"
        } else {
            "signalled"
        };
        out.key(
            "latch",
            latch,
            "Where media may come from, besides the address in the peer's description: \"signalled\" (from\n\
             where its signalling comes) or \"anywhere\". That of access.trusted may come from anywhere.",
        );
        out.key(
            "port_rest_seconds",
            seconds(self.port_rest),
            "How long a port rests between two calls.",
        );
        out.key(
            "inband_dtmf",
            self.inband_dtmf,
            "Whether digits are sought in the audio of peers that send no telephone events.",
        );
        out.key(
            "rtcp_xr",
            self.rtcp_xr,
            "Whether peers are asked for VoIP metrics (RFC 3611), and get ours if they ask too.",
        );
        out.key(
            "srtp",
            srtp::name(self.srtp),
            "Whether media is encrypted (SRTP, keys in the signalling): \"off\", \"optional\" (where the\n\
             other side can) or \"required\"; a route may say otherwise.",
        );
        let suites: Vec<&str> = self.srtp_suites.iter().map(|suite| suite.name()).collect();
        out.list(
            "srtp_suites",
            &suites,
            "The suites of SRTP that may be used, preferred first.",
        );
        codecs::print_opus(&self.opus, out);
        self.processing.print(out);
    }
}

impl Recording {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let directory = table.value("directory", "recordings".into(), A_PATH, |value| {
            text(value).map(PathBuf::from)
        });
        let recording = Recording {
            directory,
            max: Duration::from_secs(table.number("max_seconds", 7_200, RECORDING_SECONDS)),
            beep: table.boolean("beep", true),
            silence: positive(table.number("silence_seconds", 0, SILENCE_SECONDS)),
            min_free_mb: table.number("min_free_mb", 0, 0..=1_000_000_000),
            rate: read_rate(&mut table, "rate", NARROWBAND),
            stereo: table.boolean("stereo", false),
        };
        table.finish();
        recording
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[recording]");
        out.key(
            "directory",
            self.directory.to_string_lossy().as_ref(),
            "Where recordings go, by date and call; relative to where the server was started.",
        );
        out.key("max_seconds", seconds(self.max), "The longest recording.");
        out.key("beep", self.beep, "Whether a beep is played before.");
        out.key(
            "silence_seconds",
            self.silence.map_or(0, seconds),
            "So much silence ends a recording; 0: silence does not.",
        );
        out.key(
            "min_free_mb",
            i64::try_from(self.min_free_mb).unwrap_or(i64::MAX),
            "Recordings end rather than leave less space than this on the disk; 0: none is kept.",
        );
        out.key(
            "rate",
            i64::from(self.rate),
            "The sampling rate of calls' recordings and of messages, Hz: 8000, 16000, 48000.",
        );
        out.key(
            "stereo",
            self.stereo,
            "Two channels: what a call says on the left, and what it hears on the right. Messages and\n\
             spoken names have one all the same.",
        );
    }
}

impl Prompts {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let prompts = Prompts {
            directory: table.optional("directory", A_PATH, |value| text(value).map(PathBuf::from)),
            // It names a directory, so it must not climb out of one.
            language: table.value(
                "language",
                "en".to_owned(),
                "a language tag such as \"en\" or \"pt-BR\"",
                |value| text(value).filter(|tag| is_language(tag)),
            ),
        };
        table.finish();
        prompts
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[prompts]");
        let directory = self.directory.as_ref();
        out.optional(
            "directory",
            directory.map(|path| path.to_string_lossy().into_owned()),
            "prompts",
            "WAV files that override the built-in prompts by name, and add languages.\n\
             Any rate will do; up to 16 kHz is heard of it. Unset: the built-in prompts alone.",
        );
        out.key(
            "language",
            self.language.as_str(),
            "The language of prompts.",
        );
    }
}

impl Conference {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let conference = Conference {
            lone_prompt: table.boolean("lone_prompt", true),
            max_members: table.number("max_members", 2_000, MEMBERS),
            max_rooms: table.number("max_rooms", 1_000, 1..=1_000_000),
            dial_user: table.value(
                "dial_user",
                "conference".to_owned(),
                "a user of up to 64 letters, digits, \"-\", \"_\" and \".\"",
                |value| {
                    value
                        .as_str()
                        .filter(|user| is_user(user))
                        .map(str::to_owned)
                },
            ),
            dial_password: read_password(&mut table),
            dial_time: Duration::from_secs(table.number("dial_seconds", 30, 5..=300)),
        };
        table.finish();
        conference
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[conference]");
        out.key(
            "lone_prompt",
            self.lone_prompt,
            "Whether a lone member is told so; otherwise it hears silence.",
        );
        out.key(
            "max_members",
            to_i64(self.max_members),
            "The most members of a room.",
        );
        out.key("max_rooms", to_i64(self.max_rooms), "The most rooms.");
        out.key(
            "dial_user",
            self.dial_user.as_str(),
            "Who calls where a room calls somebody.",
        );
        let comment = "The password of that user, for servers that ask for one.";
        match &self.dial_password {
            Some(password) => out.secret("dial_password", password, comment),
            None => out.optional("dial_password", None, "choose a long one", comment),
        }
        out.key(
            "dial_seconds",
            seconds(self.dial_time),
            "How long who is called may take to answer.",
        );
    }
}

fn is_user(user: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=64).contains(&user.len()) && user.bytes().all(plain)
}

/// What is wrong with a password is said without showing it.
fn read_password(table: &mut Table<'_, '_>) -> Option<String> {
    let value = table.find("dial_password")?;
    let password = text(value.get_ref());
    if password.is_none() {
        let place = table.place("dial_password", value);
        let why = "expected a text that is not empty";
        table.report(&place, Fault::Senseless(why.to_owned()));
    }
    password
}

/// Whether the system could have an interface of that name.
fn is_interface(name: &str) -> bool {
    name.len() <= 15 && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
}

const A_PATH: &str = "a path";

/// `first-last`, made of whole pairs: each call takes an even port and the odd one above.
fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let first: u16 = first.trim().parse().ok()?;
    let last: u16 = last.trim().parse().ok()?;
    let is_good = first > 0 && first < last && first.is_multiple_of(2) && !last.is_multiple_of(2);
    is_good.then_some(first..=last)
}

fn is_language(tag: &str) -> bool {
    let is_part = |part: &str| {
        (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    tag.len() <= 35 && tag.split('-').all(is_part)
}
