//! The command line.

use std::fmt::Write as _;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use antiphon::srtp::Suite;

use crate::support::generator::format::Format;
use crate::support::generator::load::Shape;
use crate::support::generator::speech::{Speech, TalkerPhase};

const EXAMPLES: &str = "\
Examples (each behind `cargo bench --bench mixing_latency --`):
  --legs 400 --seconds 60                    one conference, all phases against the mix
  --legs 400,1000 --rounds 5                 cost beside a bare reflector: medians and ratios
  --legs 400,1000 --rounds 5 --floor         and beside the least that a mixer's packets cost
  --legs 400,1000 --rounds 5 --all-talking   the same with a mix for each leg
  --legs 1000 --rooms 200                    many small rooms
  --legs 2000 --rooms 500 --generators 2 --seconds 60 --xdp
                                             scale
  --legs 400 --talker-phase steady           talkers that the mix can be placed behind
  --legs 1000 --codec g722 --talker-phase steady --silent-listeners
                                             what many listeners cost, next to no packets of theirs
  --legs 100 --drift 100                     clocks that are off
  --legs 100 --codec opus                    another codec, of talkers and listeners
  --legs 10,20,50,100,200,400,1000,2000      the curve of CPU per leg
  --legs 400 --srtp --rounds 5               encrypted legs beside plain ones: ratios
  --legs 400,1000 --rounds 5 --xdp           past the network stack (root), beside a bare reflector
  --legs 400 --busy                          ticks while others want both cores";

/// Mouth-to-ear latency, CPU and loss of conferences over real sockets.
#[derive(Parser, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Numbers of legs, one run each.
    #[arg(long, value_delimiter = ',', default_value = "2,20,100,400")]
    pub legs: Vec<usize>,
    /// The legs are spread over so many rooms, each with talkers of its own.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub rooms: usize,
    /// Seconds before the measuring: by then the room is steady, its playouts and its place found.
    #[arg(long, default_value_t = 8)]
    pub warm_up: u64,
    /// Seconds measured in each run.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// How many talk in each room: with random phases each bursts once in half a second.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3))]
    pub talkers: u64,
    /// Random: the part of talker goes around among all legs, each at a phase of its own. Steady:
    /// the same legs talk all the time, in spurts of syllables, at one phase.
    #[arg(long, value_enum, default_value_t = TalkerPhase::Random)]
    pub talker_phase: TalkerPhase,
    /// All the others are heard too, quietly, so that every leg needs a mix of its own.
    #[arg(long)]
    pub all_talking: bool,
    /// All but the talkers of each room send one packet a second, as a muted phone does that leaves
    /// silence out, and listen as ever. With `--talker-phase steady`.
    #[arg(long, conflicts_with = "all_talking")]
    pub silent_listeners: bool,
    /// What the legs send and receive.
    #[arg(long, value_enum, default_value_t = Format::Pcmu)]
    pub codec: Format,
    /// How many legs look for bursts; all, where that takes no decoder, else 20.
    #[arg(long)]
    pub listeners_measured: Option<usize>,
    /// The legs' clocks are off by up to so many ppm, evenly spread over both ways.
    #[arg(long, default_value_t = 0, value_name = "PPM",
          value_parser = clap::value_parser!(u32).range(..=1000))]
    pub drift: u32,
    /// Each round has the conference twice: in the clear, then encrypted by a suite of `a=crypto`.
    #[arg(long, value_name = "SUITE", num_args = 0..=1, require_equals = true,
          default_missing_value = "AES_CM_128_HMAC_SHA1_80", value_parser = suite,
          conflicts_with_all = ["reflector", "reflector_only", "floor"])]
    pub srtp: Option<Suite>,
    /// Measure a bare reflector with one socket per leg too, under the same load.
    #[arg(long)]
    pub reflector: bool,
    /// Measure the reflector alone (with --floor, both), without a conference.
    #[arg(long)]
    pub reflector_only: bool,
    /// Measure the floor of a mixer's packets too: a reflector that reads all its sockets in each
    /// tick of 20 ms, with the server's own calls, before it sends anything back.
    #[arg(long)]
    pub floor: bool,
    /// Conference and reflector (and floor) in turn, so often; medians of all and of their ratios.
    #[arg(long, value_parser = at_least_one)]
    pub rounds: Option<usize>,
    /// All of it over a cable between two hosts of this machine's own (network namespaces; for root).
    #[arg(long)]
    pub cable: bool,
    /// The same, and the server takes RTP past the network stack there (AF_XDP).
    #[arg(long)]
    pub xdp: bool,
    /// The phones of different rooms are on so many threads.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub generators: usize,
    /// A busy loop of normal priority on each core meanwhile.
    #[arg(long)]
    pub busy: bool,
    /// Be the reflector.
    #[arg(long, hide = true)]
    pub reflect: Option<usize>,
    /// Be the floor.
    #[arg(long, hide = true)]
    pub reflect_in_ticks: Option<usize>,
    /// Be a busy loop.
    #[arg(long, hide = true)]
    pub spin: bool,
    /// What cargo passes.
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Args {
    /// The command line's; ends the program where it makes no sense.
    pub fn read() -> Args {
        let args = Args::parse();
        if args.silent_listeners && args.talker_phase == TalkerPhase::Random {
            let text = "--silent-listeners needs --talker-phase steady: with random phases every \
                        leg talks in its turn";
            let mut command = Args::command();
            command.error(ErrorKind::ArgumentConflict, text).exit();
        }
        args
    }

    /// The load of so many legs.
    pub fn shape(&self, legs: usize) -> Shape {
        let measured = self.listeners_measured;
        let most = if self.codec.is_costly() || self.srtp.is_some() {
            20
        } else {
            legs
        };
        Shape {
            legs,
            rooms: self.rooms.min(legs),
            speech: Speech {
                talkers: self.talkers,
                phase: self.talker_phase,
                all_talking: self.all_talking,
                silent_listeners: self.silent_listeners,
            },
            format: self.codec,
            measured: measured.unwrap_or(most),
            drift_ppm: self.drift,
            srtp: None,
            toil: None,
        }
    }

    /// One line that says what is asked for.
    pub fn told(&self) -> String {
        let mut text = format!(
            "{}, 20 ms, {} talker(s) in a room at {} phases, {} s",
            self.codec.codec().name(),
            self.talkers,
            match self.talker_phase {
                TalkerPhase::Random => "random",
                TalkerPhase::Steady => "steady",
            },
            self.seconds
        );
        if let Some(suite) = self.srtp {
            let _ = write!(text, ", in the clear and by {}", suite.name());
        }
        for (said, words) in [
            (self.all_talking, ", all talking".to_owned()),
            (self.silent_listeners, ", listeners silent".to_owned()),
            (self.drift > 0, format!(", clocks +-{} ppm", self.drift)),
            (self.cable && !self.xdp, ", over a cable".to_owned()),
            (self.xdp, ", over a cable, by AF_XDP".to_owned()),
            (self.busy, ", both cores wanted by others".to_owned()),
        ] {
            if said {
                text.push_str(&words);
            }
        }
        text
    }
}

fn suite(text: &str) -> Result<Suite, String> {
    Suite::from_name(text).ok_or_else(|| {
        let names = Suite::ALL.map(Suite::name);
        format!("one of {}", names.join(", "))
    })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..) => Ok(n),
        _ => Err("a number from 1 on".to_owned()),
    }
}
