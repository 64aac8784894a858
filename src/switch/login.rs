//! Who has to say who they are, and what follows for our own calls when others ask us.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use rand::Rng;

use super::{Output, Switch};
use crate::call::CallHandle;
use crate::endpoint::{Ban, BanSettings, Endpoint, Offence};
use crate::sip::auth::{Client, Login, Users};
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::transport::{Flow, Transport};

/// BYEs of calls that are over that may wait to be asked who we are.
const MAX_BYES: usize = 1000;

/// Where users are asked for, besides the routes that say so themselves. Requests within dialogs are
/// not: who knows the three parts of a dialog's identity, of which our tag has 64 random bits, was
/// told them by us or by a party of the call; and ACK and CANCEL cannot be asked (RFC 3261 §22.1).
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Networks that are never asked.
    pub exempt: Vec<IpNet>,
    /// Networks that are always asked, whatever they want.
    pub sources: Vec<IpNet>,
    /// Transports on which everybody is.
    pub transports: Vec<Transport>,
    /// REGISTER is always asked.
    pub register: bool,
}

/// Whose a request outside of all dialogs is that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comer {
    /// A user's, who has shown the password.
    User,
    /// Anybody's.
    Unasked,
}

/// A BYE that may be asked who we are, when its call is gone already.
#[derive(Debug)]
pub(super) struct Farewell {
    bye: Request,
    flow: Flow,
    client: Client,
}

impl Switch {
    /// Whether a request outside of all dialogs has to come from one of our users.
    fn wants_auth(&self, request: &Request, user: &str, flow: &Flow) -> bool {
        if !self.endpoint.can_authenticate() {
            return false;
        }
        let demand = &self.settings.demand;
        let source = flow.remote.ip().to_canonical();
        let has = |networks: &[IpNet]| networks.iter().any(|n| n.contains(&source));
        if has(&demand.exempt) {
            return false;
        }
        has(&demand.sources)
            || demand.transports.contains(&flow.transport)
            || match request.method {
                Method::Register => demand.register,
                Method::Invite | Method::Message => self.routes.wants_auth(user, source),
                _ => false,
            }
    }

    /// Whether a request outside of all dialogs may go on, and as whose: where it is wanted, with a
    /// user's credentials alone; else it was answered.
    pub(super) fn lets_in(
        &mut self,
        id: ServerId,
        request: &Request,
        user: &str,
        flow: &Flow,
        now: Instant,
    ) -> Option<Comer> {
        if !self.wants_auth(request, user, flow) {
            return Some(Comer::Unasked);
        }
        let name = self.endpoint.authenticate(id, request, flow, now)?;
        if request.method != Method::Register {
            return Some(Comer::User);
        }
        // RFC 3261 §10.3 step 4: each registers for themselves.
        let to = request.headers.to().ok();
        let to = to.and_then(|to| to.sip_uri().and_then(|uri| uri.user.clone()));
        let own = to.is_some_and(|to| to == name);
        if !own {
            self.endpoint.respond(id, Response::to(request, 403), now);
        }
        own.then_some(Comer::User)
    }

    /// Puts other trusted peers and names of scanners in force.
    pub fn set_peers(&mut self, trusted: Vec<IpNet>, drop_user_agents: Vec<String>, now: Instant) {
        self.change_bans(now, |endpoint| {
            endpoint.set_peers(trusted, drop_user_agents, now);
        });
    }

    /// Puts other rules of bans in force; none: nobody is banned. Running bans stay, as far as these
    /// allow them. The transports are to be told by the caller.
    pub fn set_bans(&mut self, bans: Option<BanSettings>, now: Instant) {
        self.change_bans(now, |endpoint| endpoint.set_bans(bans, now));
    }

    /// Does something that may end bans, and tells whose.
    fn change_bans(&mut self, now: Instant, change: impl FnOnce(&mut Endpoint)) {
        let sources = |endpoint: &Endpoint| -> BTreeSet<IpAddr> {
            let bans = endpoint.bans(now).into_iter();
            bans.map(|ban| ban.source).collect()
        };
        let before = sources(&self.endpoint);
        change(&mut self.endpoint);
        let after = sources(&self.endpoint);
        let ended = before.difference(&after);
        self.outputs
            .extend(ended.map(|&source| Output::Unbanned(source)));
    }

    /// Puts other users, and other demands for them, in force.
    pub fn set_users(&mut self, users: Users, demand: Demand) {
        self.endpoint.set_users(users);
        self.settings.demand = demand;
    }

    /// The bans that hold now.
    pub fn bans(&self, now: Instant) -> Vec<Ban> {
        self.endpoint.bans(now)
    }

    /// Ends the bans of a source; whether there was one. The transports are to be told by the caller.
    pub fn lift_ban(&mut self, source: IpAddr, now: Instant) -> bool {
        let lifted = self.endpoint.lift_ban(source, now);
        if lifted {
            self.outputs.push_back(Output::Unbanned(source));
        }
        lifted
    }

    /// Somebody has dialled what there is not.
    pub(super) fn unknown_user(&mut self, flow: &Flow, now: Instant) {
        self.endpoint.offend(flow, Offence::UnknownUser, now);
    }

    /// A source is not heard any more.
    pub(super) fn banned(&mut self, ban: Ban) {
        self.outputs.push_back(Output::Banned(ban));
    }

    /// Gives a call that we place the name and password to answer challenges with.
    pub fn set_login(&mut self, handle: CallHandle, login: Arc<Login>) {
        let client = Client::new(login, self.rng.random());
        self.with_call(handle, |call| call.set_login(client));
    }

    /// Keeps a BYE that was sent, for as long as it may be asked who we are.
    pub(super) fn remember_bye(
        &mut self,
        handle: CallHandle,
        id: ClientId,
        bye: Request,
        flow: Flow,
    ) {
        let entry = self.calls.get_mut(&handle);
        if let Some(client) = entry.and_then(|entry| entry.call.take_login()) {
            self.keep_bye(id, bye, flow, client);
        }
    }

    /// The same where it is known what it answers with.
    pub(super) fn keep_bye(&mut self, id: ClientId, bye: Request, flow: Flow, client: Client) {
        if self.farewells.len() < MAX_BYES {
            self.farewells.insert(id, Farewell { bye, flow, client });
        }
    }

    /// Something came of a BYE: where it was asked who we are, it is sent again.
    pub(super) fn answer_bye(
        &mut self,
        handle: CallHandle,
        id: ClientId,
        response: Option<&Response>,
        now: Instant,
    ) {
        let Some(Farewell {
            mut bye,
            flow,
            mut client,
        }) = self.farewells.remove(&id)
        else {
            return;
        };
        if response.is_some_and(|response| client.challenged(response)) {
            bye.headers.increment_cseq();
            client.authorize(&mut bye);
            if let Ok(id) = self.endpoint.request(bye.clone(), flow, now) {
                self.clients.insert(id, (handle, Method::Bye));
                self.farewells.insert(id, Farewell { bye, flow, client });
            }
        }
    }
}
