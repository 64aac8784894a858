//! One call: dialog + negotiation + application.
//!
//! Sans-IO: the switch hands it requests and responses of its dialog, what the media told, and the
//! time; it says what to send and what the media is to do.
//!
//! ```text
//!           INVITE                 ports            [PRACK]            ACK
//! caller: ---------> Reserving ----------> (Proving) -----> Accepted -----> Established
//!                        | 4xx 5xx              | CANCEL        | no ACK: BYE    | BYE
//!                        v                      v               v                v
//!                      Ended <------------------+---------------+--------- Ending (leg closes; BYE
//!                                                                          waits for the ACK)
//!
//!           ports      INVITE             2xx + ACK
//! called: ---------> Calling ----------------------------> Established
//!                        | hang up: CANCEL, 4xx-6xx, time-out
//!                        v
//!                      Ended
//! ```

mod branch;
mod contact;
mod digits;
mod driven;
mod early;
mod end;
mod incoming;
mod login;
mod media;
mod modify;
mod outgoing;
mod path;
mod phase;
mod refresh;
mod sources;
mod unsignalled;
mod waiting;

use branch::Branch;
use digits::{InfoDial, Unmatched};
use sources::Hops;
use waiting::Waiting;

pub use digits::Way;
pub use driven::rejected;
pub use end::EndReason;
pub use outgoing::Originate;
pub use phase::Phase;
pub use unsignalled::{Unsignalled, UnsignalledMedia};

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use crate::app::{Action, App, AppSpec, Happened, PlayOutcome, Wanted};
use crate::dtmf::Digit;
use crate::leg::{Keying, LegParams, LegStats};
use crate::sdp::negotiate::{Agreed, Association, Capabilities, Local};
use crate::sdp::{Fingerprint, SrtpPolicy};
use crate::sip::auth::Client;
use crate::sip::dialog::{Dialog, DialogId};
use crate::sip::header::{Headers, Name};
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::session_timer::SessionTimer;
use crate::sip::transaction::ServerId;
use crate::sip::transport::{Advertised, Flow};
use crate::srtp::Suite;

/// What a caller may wait before it tries again where there was no media for it, seconds.
const RETRY_AFTER: &str = "5";

/// Digits that are kept until the ACK; further ones are dropped.
const MAX_EARLY: usize = 32;

/// Our handle of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallHandle(pub u64);

/// What all calls have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What we can do with media.
    pub capabilities: Capabilities,
    /// The address that Contact, Via and SDP give, where it is not the one of the route.
    pub advertised: Advertised,
    /// Session timer asked for (RFC 4028); zero: none.
    pub session_expires: Duration,
    /// The shortest session timer that is accepted.
    pub min_se: Duration,
    /// A call ends after so long, whatever happens.
    pub max_length: Duration,
    /// Whether the media of calls that we place is encrypted; those that come in go by their route.
    pub srtp: SrtpPolicy,
    /// The suites of SRTP that may be used, preferred first.
    pub srtp_suites: Vec<Suite>,
    /// That of the certificate which is shown where keys come by DTLS; none: they never do.
    pub fingerprint: Option<Fingerprint>,
    /// Calls that we place offer DTLS, and not keys in the description.
    pub dtls_offered: bool,
    /// Media is taken from any address until a party is heard, and not only from where it signals.
    pub media_from_anywhere: bool,
}

/// What a call wants done, in order.
#[derive(Debug)]
pub enum Output {
    /// Answer a request.
    Respond(ServerId, Response),
    /// Answer an INVITE provisionally, resent until PRACK (RFC 3262).
    RespondReliable(ServerId, Response),
    /// The reliable provisional was acknowledged.
    Proven(ServerId, u32),
    /// The 2xx needs no ACK any more: the call is over.
    Abandon(ServerId),
    /// Send a request on a flow.
    Request(Request, Flow),
    /// Send an ACK for a 2xx.
    Ack(Request, Flow),
    /// Cancel our INVITE.
    Cancel,
    /// Bind RTP ports on this address, in place of others where there are any.
    ReserveMedia(IpAddr),
    /// The dialog has this identity now: requests in it belong to the call.
    Dialog(DialogId),
    /// Open the media with this, and with these keys.
    OpenLeg(LegParams, Option<Box<Keying>>),
    /// Change the keys of the media.
    SecureLeg(Box<Keying>),
    /// Begin this handshake in the media, in place of another; none: it is needed no more.
    Associate(Option<Association>),
    /// Change the media to this.
    ConfigureLeg(LegParams),
    /// Close the media; [`Call::leg_closed`] answers.
    CloseLeg,
    /// The application wants something.
    App(Action),
    /// Find the announcement that the caller names; [`Call::located`] answers.
    Locate(Wanted),
    /// The party has pressed a digit.
    Digit(Digit),
    /// Digits of ours could not be sent: why.
    DigitsNotSent(String),
    /// The call came in, and waits until a program answers it.
    Waiting,
    /// The called party is alerted, or more than that: the status.
    Progress(u16),
    /// The call is answered.
    Answered,
    /// The call is over; nothing follows.
    Ended(EndReason),
}

/// See the module's diagram.
#[derive(Debug)]
enum State {
    /// INVITE taken, ports asked for.
    Reserving { invite: ServerId },
    /// A reliable provisional response waits for its PRACK.
    Proving { invite: ServerId, rseq: u32 },
    /// 200 sent, ACK awaited.
    Accepted { invite: ServerId },
    /// Ports asked for, or INVITE sent.
    Calling { sent: bool, cancelled: bool },
    /// In the dialog.
    Established,
    /// Hung up; the leg closes.
    Ending(EndReason),
    /// Nothing left.
    Ended,
}

/// What our requests in the dialog wait for.
#[derive(Debug, Default)]
struct Pending {
    /// Our re-INVITE or UPDATE that refreshes the session is out.
    refresh: bool,
    /// The peer's re-INVITE that we have answered waits for its ACK.
    reinvite: Option<ServerId>,
    /// Our last re-INVITE that was answered with 2xx, by its CSeq.
    acknowledged: Option<u32>,
    /// What our last re-INVITE said of who we are: its ACK says the same.
    credentials: Vec<(Name, String)>,
    /// Where a REFER of ours that has no answer sends the peer.
    referred: Option<String>,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    handle: CallHandle,
    /// We have placed it.
    is_outgoing: bool,
    settings: Arc<Settings>,
    state: State,
    /// The path of the peer's last message.
    flow: Flow,
    /// The peer's Via showed a NAT, or it is called by the path of its REGISTER: requests go where its
    /// messages come from.
    behind_nat: bool,
    /// A translator is between: the peer knows addresses of the other IP version.
    translated: bool,
    /// The connection of that message is gone: nobody listens where it came from.
    cut_off: bool,
    /// Somebody listens where it came from: we have called there.
    dialled: bool,
    /// Where the name of the next hop has led since.
    found: Option<Box<path::Found>>,
    spec: AppSpec,
    app: App,
    dialog: Option<Dialog>,
    local_tag: String,
    invite: Request,
    local: Option<Local>,
    last_sdp: Option<String>,
    agreed: Option<Agreed>,
    srtp: SrtpPolicy,
    /// Where keys come from, once there are ports.
    keys: Option<StdRng>,
    /// Our offer that waits for its answer.
    offered: Option<String>,
    /// What the last description of the peer came by.
    hops: Hops,
    /// Media may come from anywhere, and go anywhere: the peer is trusted.
    trusted: bool,
    /// Those of the other places where it may be that are trusted.
    trusted_places: Vec<IpAddr>,
    /// When something was last played to its end, and when the call ends behind it.
    played: Option<Instant>,
    hang_up_at: Option<Instant>,
    /// A handshake that begins with the ACK.
    postponed: Option<Output>,
    /// Counts the applications that have had it before.
    runs: u32,
    /// The peer was once willing to receive: if it only sends, it is on hold.
    has_listened: bool,
    leg_open: bool,
    pending: Pending,
    session: Option<SessionTimer>,
    /// A refresh that met another request in the air is tried again then.
    refresh_again: Option<Instant>,
    /// The interval that the peer asked for with 422.
    refresh_interval: Option<Duration>,
    /// The longest call length ends then; before the answer, the longest wait for it.
    ends_at: Option<Instant>,
    created: Instant,
    answered: Option<Instant>,
    /// Boxed, as what else few need for long: a call is moved about when it begins.
    stats: Option<Box<LegStats>>,
    /// Who has been reached and has not answered yet.
    branches: Vec<Branch>,
    retried: bool,
    /// Where else the called party may be.
    alternatives: VecDeque<Flow>,
    /// Why it is not at the place before, while ports are asked for on another address for the next one.
    lost: Option<EndReason>,
    /// What answers challenges.
    login: Option<Box<Client>>,
    /// The peer's Allow names UPDATE.
    peer_updates: bool,
    unmatched: Unmatched,
    /// Digits that came before the ACK.
    early: Vec<Digit>,
    info_dial: Option<InfoDial>,
    /// How far it is with its answer, where it came in.
    waiting: Waiting,
    /// Nobody answers: we give up then.
    give_up_at: Option<Instant>,
    /// Why we have cancelled it.
    cancelled_for: Option<EndReason>,
    /// It is hung up, and its BYE waits for the ACK of our answer.
    unacknowledged: Option<ServerId>,
    /// Nobody signals: what its media is.
    unsignalled: Option<Box<LegParams>>,
    outputs: VecDeque<Output>,
}

impl Call {
    /// A call of which nothing is known yet but how it began: its INVITE and our tag.
    fn new(
        handle: CallHandle,
        settings: Arc<Settings>,
        state: State,
        flow: Flow,
        spec: AppSpec,
        (invite, local_tag): (Request, String),
        now: Instant,
    ) -> Call {
        Call {
            handle,
            is_outgoing: false,
            srtp: settings.srtp,
            keys: None,
            settings,
            state,
            flow,
            behind_nat: false,
            translated: false,
            cut_off: false,
            dialled: false,
            found: None,
            app: App::new(&spec),
            spec,
            dialog: None,
            local_tag,
            invite,
            local: None,
            last_sdp: None,
            agreed: None,
            offered: None,
            hops: Hops::default(),
            trusted: false,
            trusted_places: Vec::new(),
            played: None,
            hang_up_at: None,
            postponed: None,
            runs: 0,
            has_listened: false,
            leg_open: false,
            pending: Pending::default(),
            session: None,
            refresh_again: None,
            refresh_interval: None,
            ends_at: None,
            created: now,
            answered: None,
            stats: None,
            branches: Vec::new(),
            retried: false,
            alternatives: VecDeque::new(),
            lost: None,
            login: None,
            peer_updates: false,
            unmatched: Unmatched::default(),
            early: Vec::new(),
            info_dial: None,
            waiting: Waiting::default(),
            give_up_at: None,
            cancelled_for: None,
            unacknowledged: None,
            unsignalled: None,
            outputs: VecDeque::new(),
        }
    }

    /// Whether its media is to be encrypted, by its route: before there are ports.
    pub fn set_srtp(&mut self, policy: SrtpPolicy) {
        self.srtp = policy;
    }

    /// Our handle.
    pub fn handle(&self) -> CallHandle {
        self.handle
    }

    /// Whether we have placed it.
    pub fn is_outgoing(&self) -> bool {
        self.is_outgoing
    }

    /// The Call-ID header.
    pub fn call_id(&self) -> &str {
        self.invite.headers.call_id().unwrap_or_default()
    }

    /// The INVITE that it began with.
    pub fn invite(&self) -> &Request {
        &self.invite
    }

    /// Whether the 200 has gone out, or come.
    pub fn is_answered(&self) -> bool {
        matches!(self.state, State::Accepted { .. } | State::Established)
    }

    /// Whether it is in its dialog, and its media runs.
    pub fn is_established(&self) -> bool {
        matches!(self.state, State::Established)
    }

    /// Where it was routed.
    pub fn spec(&self) -> &AppSpec {
        &self.spec
    }

    /// The path of the peer's last message.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// When the call began and when it was answered.
    pub fn times(&self) -> (Instant, Option<Instant>) {
        (self.created, self.answered)
    }

    /// What was agreed on, once it was.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// The media's figures, once it has closed.
    pub fn stats(&self) -> Option<&LegStats> {
        self.stats.as_deref()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            match self.app.poll_action()? {
                _ if self.hang_up_at.is_some() => {}
                Action::HangUp => self.hang_up_after_play(now),
                // What waits for the call can be stopped before it comes.
                Action::Report(report) if self.takes_orders() => {
                    return Some(Output::App(Action::Report(report)));
                }
                _ if !matches!(self.state, State::Established) => {}
                action if self.dial_by_info(&action, now) => {}
                action => return Some(Output::App(action)),
            }
        }
    }

    /// Which of its applications it is in: tells what is of an earlier one.
    pub fn run_number(&self) -> u32 {
        self.runs
    }

    /// Another application goes on with the call.
    pub fn run(&mut self, spec: &AppSpec, now: Instant) {
        if matches!(self.state, State::Established) {
            self.runs = self.runs.wrapping_add(1);
            self.app = App::new(spec);
            self.app.handle(&Happened::Established, now);
        }
    }

    /// Something happened that concerns the application.
    pub fn happened(&mut self, happened: &Happened, now: Instant) {
        if let Happened::PlayEnded(_, PlayOutcome::Finished, _) = happened {
            self.played = Some(now);
        }
        match (&self.state, happened) {
            (State::Established, _) if self.hang_up_at.is_some() => {}
            (State::Established, _) => self.app.handle(happened, now),
            // The media runs from our answer on: digits wait for the ACK.
            (State::Accepted { .. }, Happened::Digit(digit)) if self.early.len() < MAX_EARLY => {
                self.early.push(*digit);
            }
            _ => {}
        }
    }

    /// The media heard nothing for too long.
    pub fn media_timeout(&mut self) {
        self.end(EndReason::MediaTimeout);
    }

    /// The leg has closed.
    pub fn leg_closed(&mut self, stats: LegStats) {
        self.stats = Some(Box::new(stats));
        self.leg_open = false;
        self.finish_if_done();
    }

    /// The media could not be opened: the answer that waits to be sent is taken back.
    pub fn leg_unavailable(&mut self) {
        self.leg_open = false;
        if let State::Accepted { invite } = self.state {
            self.outputs
                .retain(|o| !matches!(o, Output::Respond(t, _) if *t == invite));
            self.state = State::Reserving { invite };
        }
        self.end(EndReason::Rejected(503, "No Media".to_owned()));
    }

    /// Ends the call, in whatever way its state asks for.
    pub fn end(&mut self, reason: EndReason) {
        match self.state {
            State::Reserving { invite } | State::Proving { invite, .. } => {
                let status = match &reason {
                    EndReason::Rejected(status, _) => *status,
                    EndReason::Shutdown => 503,
                    // RFC 3261 §13.3.1: the invitation has expired.
                    EndReason::NoAnswer => 487,
                    _ => 480,
                };
                let mut response = self.response_to_invite(status);
                if status == 503 {
                    response.headers.set(Name::RetryAfter, RETRY_AFTER);
                }
                self.outputs.push_back(Output::Respond(invite, response));
            }
            State::Accepted { invite } => {
                self.unacknowledged = Some(invite);
                self.hurry_bye(&reason);
            }
            State::Established => self.send_bye(),
            State::Calling {
                sent,
                ref mut cancelled,
            } => {
                if sent && !*cancelled {
                    *cancelled = true;
                    self.cancelled_for = Some(reason);
                    self.outputs.push_back(Output::Cancel);
                    // The final response to the INVITE ends the call.
                    return;
                }
                if sent {
                    return;
                }
            }
            State::Ending(_) => return self.hurry_bye(&reason),
            State::Ended => return,
        }
        self.ending(reason);
    }

    fn ending(&mut self, reason: EndReason) {
        if let Some(reinvite) = self.pending.reinvite.take() {
            self.outputs.push_back(Output::Abandon(reinvite));
        }
        self.state = State::Ending(reason);
        self.session = None;
        self.refresh_again = None;
        self.ends_at = None;
        if self.leg_open {
            self.outputs.push_back(Output::CloseLeg);
        }
        self.finish_if_done();
    }

    fn finish_if_done(&mut self) {
        if self.leg_open || self.unacknowledged.is_some() {
            return;
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Ending(reason) => self.outputs.push_back(Output::Ended(reason)),
            other => self.state = other,
        }
    }

    fn send_bye(&mut self) {
        if let Some(dialog) = &mut self.dialog {
            let bye = dialog.request(Method::Bye);
            let flow = self.target();
            self.outputs.push_back(Output::Request(bye, flow));
        }
    }

    /// The address that we give to the peer.
    fn advertised(&self) -> IpAddr {
        self.settings.advertised.address(&self.flow)
    }

    /// A response in the dialog: our tag, Contact and what we can do.
    fn response(&self, request: &Request, status: u16) -> Response {
        let mut response = Response::to(request, status);
        if status > 100
            && !request.has_to_tag()
            && let Some(to) = response.headers.get(&Name::To)
        {
            let tagged = [to, ";tag=", &self.local_tag].concat();
            response.headers.set(Name::To, tagged);
        }
        if (101..300).contains(&status) {
            response.headers.set(Name::Contact, self.contact());
            // RFC 3261 §12.1.1: the caller builds its route set of them.
            if !request.has_to_tag() {
                for route in request.headers.get_all(&Name::RecordRoute) {
                    response.headers.push(Name::RecordRoute, route);
                }
            }
        }
        response
    }

    fn response_to_invite(&self, status: u16) -> Response {
        self.response(&self.invite, status)
    }
}

/// Whether Allow names UPDATE.
fn allows_update(headers: &Headers) -> bool {
    headers.list(&Name::Allow).any(|m| m == "UPDATE")
}
