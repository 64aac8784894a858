//! The `antiphon` command: flags -> Config -> server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use antiphon::app::{DtmfMethod, ScriptDigits};
use antiphon::caller::{self, CallOptions};
use antiphon::client;
use antiphon::codec::Codec;
use antiphon::config::{Config, LogFormat};
use antiphon::dtmf::Digit;
use antiphon::leg::MAX_DIGITS;
use antiphon::server;
use antiphon::server::control::{self, Question};
use antiphon::sip::auth::Login;
use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  antiphon serve                              listen on port 5060, built-in routes
  antiphon serve --config antiphon.toml       the same with a configuration
  antiphon check antiphon.toml                what it means, defaults included
  antiphon call sip:510@127.0.0.1             hear the welcome prompt
  antiphon call sip:600@127.0.0.1 --play talk.wav --record heard.wav --seconds 10";

/// A SIP media server: answers calls, plays prompts, records, mixes conferences.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server. SIGTERM ends it after its calls, SIGHUP reads routes, prompts, users, access
    /// lists and certificates again.
    Serve {
        /// Configuration file (TOML); without it the built-in one: SIP on port 5060, RTP on
        /// 10000-19999, recordings in ./recordings.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a configuration file and print what it means, defaults included.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// List and lift the bans of a running server.
    Bans(BansArgs),
    /// List, show and hang up the calls of a running server.
    Calls(CallsArgs),
    /// List the conference rooms of a running server, show who is in one, mute and throw out.
    Rooms(RoomsArgs),
    /// Place a call and tell how it went. Exit status 0: answered, and ended as planned.
    Call(CallArgs),
}

#[derive(Args)]
#[command(after_help = "\
The server is reached by its control socket: --socket, else that of --config, else control.sock in
$RUNTIME_DIRECTORY or antiphon.sock in $XDG_RUNTIME_DIR. Only the server's own user and root may.

Examples:
  antiphon bans list --config antiphon.toml
  antiphon bans lift 192.0.2.7 --socket /run/antiphon/control.sock
  antiphon bans clear")]
struct BansArgs {
    #[command(subcommand)]
    action: BansAction,
    /// The server's configuration file, which says where its control socket is.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The control socket.
    #[arg(long, value_name = "PATH", global = true, conflicts_with = "config")]
    socket: Option<PathBuf>,
}

#[derive(Subcommand)]
enum BansAction {
    /// One line for each ban: address, scope, reason, bans in a row, seconds that are left.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// End the bans of an address (of an IPv6 address: of its /64), and forget what was held against it.
    Lift {
        /// The address.
        address: std::net::IpAddr,
    },
    /// End all bans.
    Clear,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  antiphon calls list
  antiphon calls show 1764183000500123.17 --json
  antiphon calls hang-up 1764183000500123.17 --url https://pbx.example.org:8443 --key-file admin.key")]
struct CallsArgs {
    #[command(subcommand)]
    action: CallsAction,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Subcommand)]
enum CallsAction {
    /// One line for each call that is not over.
    List,
    /// All that is known of a call, with the figures of its media.
    Show {
        /// Its ID.
        id: String,
    },
    /// End a call.
    HangUp {
        /// Its ID.
        id: String,
    },
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  antiphon rooms list
  antiphon rooms show 600
  antiphon rooms mute 600 1764183000500123.17
  antiphon rooms kick 600 1764183000500123.17
  antiphon rooms lock 600
  antiphon rooms record 600 start --layout mix+tracks
  antiphon rooms record 600 stop")]
struct RoomsArgs {
    #[command(subcommand)]
    action: RoomsAction,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Subcommand)]
enum RoomsAction {
    /// One line for each room with anybody in it.
    List,
    /// Who is in a room.
    Show {
        /// The room.
        room: String,
    },
    /// Take a member out, and hang up.
    Kick(MemberArgs),
    /// Mute a member: nobody hears it.
    Mute(MemberArgs),
    /// Let a member be heard again.
    Unmute(MemberArgs),
    /// Let a member in that waits.
    Admit(MemberArgs),
    /// Mute all but moderators.
    MuteAll(RoomArgs),
    /// Let all be heard again.
    UnmuteAll(RoomArgs),
    /// Let nobody else in but moderators.
    Lock(RoomArgs),
    /// Let anybody in again.
    Unlock(RoomArgs),
    /// Call somebody from a room, and ask them to join.
    Call {
        /// The room.
        room: String,
        /// Whom: a SIP URI.
        uri: String,
    },
    /// Record a room: start, pause, resume or stop.
    Record {
        /// The room.
        room: String,
        /// What to do.
        #[arg(value_enum)]
        what: Recording,
        /// At the start: mix, stereo, tracks or mix+tracks; otherwise as the room is configured.
        #[arg(long, value_parser = ["mix", "stereo", "tracks", "mix+tracks"])]
        layout: Option<String>,
        /// At the start: wav or ogg-opus; otherwise as the room is configured.
        #[arg(long, value_parser = ["wav", "ogg-opus"])]
        format: Option<String>,
    },
    /// End a room.
    End(RoomArgs),
}

#[derive(Clone, Copy, ValueEnum)]
enum Recording {
    Start,
    Pause,
    Resume,
    Stop,
}

#[derive(Args)]
struct RoomArgs {
    /// The room.
    room: String,
}

#[derive(Args)]
struct MemberArgs {
    /// The room.
    room: String,
    /// The ID of the member's call.
    call: String,
}

/// Which server, and what is shown to it.
#[derive(Args)]
struct ServerArgs {
    /// Where its control API is (http.listen); else what the file beside its control socket says,
    /// else http://127.0.0.1:8080.
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
    /// A file whose first line is a key: its secret, or NAME:SECRET. Else the environment variable
    /// ANTIPHON_KEY, else the file beside the control socket, which only the server's own user can
    /// read.
    #[arg(long, value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// The server's configuration file, which says where its control socket is.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The authorities that may have signed the server's certificate, in place of those that the
    /// system trusts.
    #[arg(long, value_name = "PEM", global = true)]
    tls_ca: Option<PathBuf>,
    /// As JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

impl ServerArgs {
    fn target(self) -> anyhow::Result<client::Target> {
        let socket = match self.config {
            Some(file) => Config::load(file)?.server.control_socket,
            None => None,
        };
        let key = match self.key_file {
            Some(file) => {
                let text = std::fs::read_to_string(&file)
                    .map_err(|error| client::ClientError::KeyFile(file, error))?;
                Some(text.lines().next().unwrap_or_default().trim().to_owned())
            }
            None => std::env::var("ANTIPHON_KEY").ok(),
        };
        let key = key.filter(|key| !key.is_empty());
        Ok(client::Target::find(
            self.url,
            key,
            socket.as_deref(),
            self.tls_ca,
        ))
    }
}

#[derive(Args)]
#[command(after_help = "\
Without --seconds the call ends when the file has been played, else when the other side hangs up.

Examples:
  antiphon call sip:510@127.0.0.1
  antiphon call sip:500@127.0.0.1 --play hello.wav --record echo.wav
  antiphon call sip:500@127.0.0.1 --user alice --password-file alice.password
  antiphon call sip:540@127.0.0.1 --dtmf ,,4,1234# --record menu.wav --seconds 30
  antiphon call 'sip:600@[::1]:5060;transport=tcp' --seconds 5 --json")]
struct CallArgs {
    /// Whom to call: sip:USER@HOST[:PORT][;transport=tcp|tls], or sips:USER@HOST
    uri: String,
    /// The name to give where the other side asks who calls; its password comes from
    /// --password-file, or from the environment variable ANTIPHON_PASSWORD.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A file whose first line is the password. A password on the command line would be seen by
    /// everybody on this machine.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// WAV file that the other side hears.
    #[arg(long, value_name = "WAV")]
    play: Option<PathBuf>,
    /// WAV file for what the other side says; an existing file is not overwritten.
    #[arg(long, value_name = "WAV")]
    record: Option<PathBuf>,
    /// Hang up so many seconds after the answer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Keys to press after the answer: 0-9 * # A-D; each comma waits a second.
    #[arg(long, value_name = "KEYS", value_parser = keys)]
    dtmf: Option<String>,
    /// How they are sent. auto: telephone events (RFC 4733) where the other side takes them, else
    /// tones.
    #[arg(long, value_enum, default_value = "auto", requires = "dtmf")]
    dtmf_method: Dtmf,
    /// The length of each key, ms.
    #[arg(long, value_name = "MS", default_value_t = 100, requires = "dtmf",
        value_parser = clap::value_parser!(u64).range(40..=10_000))]
    dtmf_tone: u64,
    /// The pause behind each key, ms.
    #[arg(long, value_name = "MS", default_value_t = 100, requires = "dtmf",
        value_parser = clap::value_parser!(u64).range(40..=10_000))]
    dtmf_pause: u64,
    /// Offer this codec alone.
    #[arg(long, value_enum)]
    codec: Option<CodecName>,
    /// The authorities that may have signed the other side's certificate, in place of those that the
    /// system trusts.
    #[arg(long, value_name = "PEM")]
    tls_ca: Option<PathBuf>,
    /// A name server to ask in place of the system's; may be given several times.
    #[arg(long, value_name = "ADDRESS:PORT")]
    dns_server: Vec<std::net::SocketAddr>,
    /// Encrypt the media (SRTP); without it there is no call. The keys are in the signalling, which
    /// only TLS hides.
    #[arg(long)]
    srtp: bool,
    /// Encrypt the media (SRTP) with keys that the two sides make out in the media (DTLS); without it
    /// there is no call. The signalling has a fingerprint, which TLS keeps others from replacing.
    #[arg(long, conflicts_with = "srtp")]
    dtls: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    /// No progress line. There is none either where standard error is no terminal.
    #[arg(long)]
    quiet: bool,
    /// Log what happens (to standard error), in place of the progress line.
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtmf {
    Auto,
    Rfc4733,
    Inband,
    Info,
}

/// Refuses what are no keys.
fn keys(text: &str) -> Result<String, String> {
    let allowed = |c: char| c == ',' || Digit::from_char(c).is_some();
    match text.chars().find(|&c| !allowed(c)) {
        Some(wrong) => Err(format!(
            "{wrong:?} is no key; 0-9 * # A-D are, and a comma waits"
        )),
        None if text.is_empty() => Err("no key; 0-9 * # A-D are, and a comma waits".to_owned()),
        None if text.split(',').any(|group| group.len() > MAX_DIGITS) => Err(format!(
            "more than {MAX_DIGITS} keys without a comma between them"
        )),
        None if text.len() > 1024 => Err("more than 1024 keys".to_owned()),
        None => Ok(text.to_owned()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum CodecName {
    Pcmu,
    Pcma,
    G722,
    Opus,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Serve { config } => serve(config),
        Command::Check { file } => check(&file),
        Command::Bans(args) => bans(args),
        Command::Calls(args) => calls(args),
        Command::Rooms(args) => rooms(args),
        Command::Call(args) => call(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("antiphon: {}", message(&error));
        ExitCode::FAILURE
    })
}

/// The error with its causes. Most of our errors quote their cause; what is said is not said again.
fn message(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn serve(path: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let config = match &path {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    server::prepare(&config, path.as_deref());
    let server = server::serve(config, path);
    // A task, and not what the runtime blocks on: when that is woken, tokio asks the kernel for more
    // before it goes on with it, a system call for each SIP message.
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        match tokio::spawn(server).await {
            Ok(served) => served,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    });
    // A disk that does not answer is waited for no longer.
    runtime.shutdown_timeout(Duration::from_secs(2));
    served?;
    Ok(ExitCode::SUCCESS)
}

fn check(file: &PathBuf) -> anyhow::Result<ExitCode> {
    let config = Config::load(file)?;
    let warnings = server::check(&config).map_err(|error| match error {
        // It says itself where.
        server::StartError::Routes(error) => anyhow::anyhow!("{error}"),
        other => anyhow::anyhow!("{}: {other}", file.display()),
    })?;
    for warning in warnings {
        eprintln!("antiphon: {warning}");
    }
    print!("{}", config.to_toml_without_secrets());
    Ok(ExitCode::SUCCESS)
}

fn bans(args: BansArgs) -> anyhow::Result<ExitCode> {
    let configured = match (args.socket, args.config) {
        (Some(socket), _) => Some(socket),
        (None, Some(file)) => Config::load(file)?.server.control_socket,
        (None, None) => None,
    };
    let path = control::socket_path(configured.as_deref()).ok_or(control::ControlError::None)?;
    let question = match args.action {
        BansAction::List { .. } => Question::ListBans,
        BansAction::Lift { address } => Question::LiftBan(address),
        BansAction::Clear => Question::ClearBans,
    };
    let answer = runtime()?.block_on(control::ask(path, question))?;
    match args.action {
        BansAction::List { json: true } => println!("{}", answer["bans"]),
        BansAction::List { json: false } => {
            for ban in answer["bans"].as_array().into_iter().flatten() {
                let text = |key: &str| ban[key].as_str().unwrap_or("?").to_owned();
                println!(
                    "{} scope={} reason={} times={} seconds_left={}",
                    text("address"),
                    text("scope"),
                    text("reason"),
                    ban["times"],
                    ban["seconds_left"]
                );
            }
        }
        BansAction::Lift { address } if answer["lifted"] == 0 => {
            anyhow::bail!("{address} is not banned");
        }
        BansAction::Lift { .. } | BansAction::Clear => println!("lifted: {}", answer["lifted"]),
    }
    Ok(ExitCode::SUCCESS)
}

fn calls(args: CallsArgs) -> anyhow::Result<ExitCode> {
    use client::calls::{Action, run};
    let action = match args.action {
        CallsAction::List => Action::List,
        CallsAction::Show { id } => Action::Show(id),
        CallsAction::HangUp { id } => Action::HangUp(id),
    };
    let json = args.server.json;
    let target = args.server.target()?;
    print!("{}", runtime()?.block_on(run(&target, action, json))?);
    Ok(ExitCode::SUCCESS)
}

fn rooms(args: RoomsArgs) -> anyhow::Result<ExitCode> {
    use client::rooms::{Action, Change, Operation, Record, run};
    let member = |MemberArgs { room, call }, operation| Action::Member {
        room,
        call,
        operation,
    };
    let change = |RoomArgs { room }, change| Action::Change(room, change);
    let action = match args.action {
        RoomsAction::List => Action::List,
        RoomsAction::Show { room } => Action::Show(room),
        RoomsAction::Kick(args) => member(args, Operation::Kick),
        RoomsAction::Mute(args) => member(args, Operation::Mute),
        RoomsAction::Unmute(args) => member(args, Operation::Unmute),
        RoomsAction::Admit(args) => member(args, Operation::Admit),
        RoomsAction::MuteAll(args) => change(args, Change::MuteAll),
        RoomsAction::UnmuteAll(args) => change(args, Change::UnmuteAll),
        RoomsAction::Lock(args) => change(args, Change::Lock),
        RoomsAction::Unlock(args) => change(args, Change::Unlock),
        RoomsAction::Call { room, uri } => Action::Call { room, uri },
        RoomsAction::Record {
            room,
            what,
            layout,
            format,
        } => {
            let record = match what {
                Recording::Start => Record::Start(layout, format),
                Recording::Pause => Record::Pause,
                Recording::Resume => Record::Resume,
                Recording::Stop => Record::Stop,
            };
            Action::Record(room, record)
        }
        RoomsAction::End(args) => change(args, Change::End),
    };
    let json = args.server.json;
    let target = args.server.target()?;
    print!("{}", runtime()?.block_on(run(&target, action, json))?);
    Ok(ExitCode::SUCCESS)
}

/// The name and password to answer with. The password is never an argument.
fn login(args: &CallArgs) -> anyhow::Result<Option<Login>> {
    let Some(user) = args.user.clone() else {
        return Ok(None);
    };
    let password = match &args.password_file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| anyhow::anyhow!("--password-file: {}: {error}", file.display()))?;
            text.lines().next().unwrap_or_default().to_owned()
        }
        None => std::env::var("ANTIPHON_PASSWORD").map_err(|_| {
            anyhow::anyhow!("--user wants --password-file, or the variable ANTIPHON_PASSWORD")
        })?,
    };
    anyhow::ensure!(!password.is_empty(), "the password is empty");
    Ok(Some(Login { user, password }))
}

fn call(args: CallArgs) -> anyhow::Result<ExitCode> {
    let level = if args.verbose { "debug" } else { "warn" };
    server::init_log(level, LogFormat::Text);
    let login = login(&args)?;
    let options = CallOptions {
        uri: args.uri,
        play: args.play,
        record: args.record,
        seconds: args.seconds,
        login,
        digits: args.dtmf.and_then(|keys| {
            let method = match args.dtmf_method {
                Dtmf::Auto => DtmfMethod::Auto,
                Dtmf::Rfc4733 => DtmfMethod::Rfc4733,
                Dtmf::Inband => DtmfMethod::Inband,
                Dtmf::Info => DtmfMethod::Info,
            };
            let ms = Duration::from_millis;
            ScriptDigits::parse(&keys, method, ms(args.dtmf_tone), ms(args.dtmf_pause))
        }),
        codec: args.codec.map(|c| match c {
            CodecName::Pcmu => Codec::Pcmu,
            CodecName::Pcma => Codec::Pcma,
            CodecName::G722 => Codec::G722,
            CodecName::Opus => Codec::Opus,
        }),
        tls_ca: args.tls_ca,
        dns_servers: args.dns_server,
        srtp: args.srtp,
        dtls: args.dtls,
        progress: !args.quiet && !args.verbose,
    };
    let report = runtime()?.block_on(caller::run(options))?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(if report.success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // One thread: to wake the control side across threads costs more than all that it does.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| anyhow::anyhow!("cannot start the runtime: {error}"))
}
