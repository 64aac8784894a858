//! Where requests of a call go: the route set, the Contact, or the path that is open already.

use std::net::{IpAddr, SocketAddr};

use super::Call;
use super::media::offer_of;
use super::sources::Hops;
use crate::sdp::description::is_private;
use crate::sip::dialog::Dialog;
use crate::sip::header::{Headers, Name, ViaRef};
use crate::sip::message::{Request, Response};
use crate::sip::transport::{ConnectionId, Flow, Transport};
use crate::sip::uri::Scheme;

/// Where the name of a next hop leads.
#[derive(Clone, Debug)]
pub(super) struct Found {
    hop: String,
    flow: Flow,
}

impl Call {
    /// Where requests of the dialog go (RFC 3261 §12.2.1.1): the next hop of the route set, or the
    /// path of the peer's last message where that hop is a name, or lies behind a NAT, or is
    /// reached by a connection that is open already.
    pub(super) fn target(&self) -> Flow {
        match &self.dialog {
            Some(dialog) => self.target_of(dialog),
            None => self.flow,
        }
    }

    /// The same for any dialog of the call: an INVITE may reach several places.
    pub(super) fn target_of(&self, dialog: &Dialog) -> Flow {
        let lost = self.lost_hop(dialog);
        match self.found.as_deref() {
            Some(found) if lost.is_some_and(|hop| hop == found.hop) => found.flow,
            _ => path_of(
                dialog,
                self.flow,
                self.behind_nat,
                self.cut_off && !self.dialled,
            ),
        }
    }

    /// A connection has ended: requests to the peer go where its Contact or the route set says.
    pub fn connection_closed(&mut self, connection: ConnectionId) {
        if self.flow.connection == Some(connection) {
            self.flow.connection = None;
            self.cut_off = true;
        }
    }

    /// The name that a request within the dialog cannot go without: it is not known yet where that leads
    /// (RFC 3261 §8.1.2).
    pub fn sought(&self, request: &Request) -> Option<String> {
        let dialog = self.dialog.as_ref()?;
        let within = request.tag_of_to().unwrap_or_default() == dialog.id.remote_tag;
        let hop = self.lost_hop(dialog).filter(|_| within)?;
        let found = self.found.as_ref();
        found.is_none_or(|found| found.hop != hop).then_some(hop)
    }

    /// Where such a name leads.
    pub fn hop_found(&mut self, hop: String, flow: Flow) {
        self.found = Some(Box::new(Found { hop, flow }));
    }

    fn lost_hop(&self, dialog: &Dialog) -> Option<String> {
        if !self.cut_off {
            return None;
        }
        lost_hop(dialog, &self.flow, self.behind_nat)
    }

    /// Whom it calls is reached by this path alone, whatever its Contact, which is at this host, says.
    pub fn keep_path(&mut self, contact: Option<IpAddr>) {
        self.behind_nat = true;
        self.translated = contact.is_some_and(|at| differs(at, self.flow.remote.ip()));
    }

    /// Takes note of the path of a request of the dialog.
    pub(super) fn note_path(&mut self, request: &Request, flow: Flow) {
        self.dialled &= flow.remote == self.flow.remote;
        // Whom we have called stays who has to prove it, by whatever connection it speaks.
        self.flow = Flow {
            host: flow.host.or(self.flow.host),
            ..flow
        };
        self.cut_off = false;
        self.found = None;
        if !offer_of(request).is_empty() {
            self.hops = Hops::of(request, flow.remote.ip());
        }
        if let Some(behind_nat) = behind_nat(request, &flow) {
            self.behind_nat = behind_nat;
        }
        if let Some(translated) = is_translated(request, &flow) {
            self.translated = translated;
        }
    }
}

/// The next hop of a dialog as a URI, where that is a name; `flow` is the path of the peer's last message.
fn lost_hop(dialog: &Dialog, flow: &Flow, behind_nat: bool) -> Option<String> {
    let mut hop = dialog.next_hop();
    let stream = matches!(flow.transport, Transport::Tcp | Transport::Tls);
    // Behind a NAT nobody is called back.
    let hidden = behind_nat && dialog.route_set.is_empty();
    if !stream || hidden || hop.host.ip().is_some() {
        return None;
    }
    if hop.scheme != Scheme::Sips && !hop.params.contains("transport") {
        // What it has spoken so far.
        let transport = flow.transport.parameter();
        hop.params.set("transport", Some(transport));
    }
    Some(hop.to_string())
}

/// Where the next request of a dialog goes; `flow` is the path of the peer's last message, which is
/// `cut_off` where its connection is gone and nobody need listen where that came from.
fn path_of(dialog: &Dialog, flow: Flow, behind_nat: bool, cut_off: bool) -> Flow {
    let next_hop = dialog.next_hop();
    let direct = dialog.route_set.is_empty();
    // Who has passed an INVITE on without staying on the way has no part in the dialog.
    let elsewhere = direct
        && !behind_nat
        && !matches!(flow.transport, Transport::Ws | Transport::Wss)
        && next_hop
            .socket_address(flow.transport.default_port())
            .is_some_and(|hop| hop.ip() != flow.remote.ip().to_canonical());
    if (flow.connection.is_some() && !elsewhere) || (behind_nat && direct) {
        return flow;
    }
    let is_secure = next_hop.scheme == Scheme::Sips;
    let named = next_hop.params.value("transport");
    let transport = match named.map(|named| Transport::named(named, is_secure)) {
        Some(Some(transport)) => transport,
        None if is_secure => Transport::Tls,
        _ => flow.transport,
    };
    match next_hop.socket_address(transport.default_port()) {
        Some(remote) if remote.is_ipv4() == flow.remote.is_ipv4() => Flow {
            transport,
            remote,
            connection: flow.connection.filter(|_| !elsewhere),
            ..flow
        },
        // As good as may be without asking for the name: the port that it came from is nobody's any more.
        _ if cut_off => {
            let port = next_hop.port.unwrap_or(transport.default_port());
            Flow {
                transport,
                remote: SocketAddr::new(flow.remote.ip(), port),
                ..flow
            }
        }
        _ => flow,
    }
}

/// Whether the request came from another address than its top Via says; where that says a name, from a
/// public one while its Contact is private. None: it says nothing.
pub(super) fn behind_nat(request: &Request, flow: &Flow) -> Option<bool> {
    let source = flow.remote.ip();
    let via = request.headers.top_via().ok()?;
    let received = via.param("received");
    if received.is_none_or(|(_, value)| value.is_none()) {
        return Some(false);
    }
    if let Some(host) = via.host.ip() {
        return Some(host != source);
    }
    if !request.headers.contains(&Name::Contact) {
        return None;
    }
    Some(hides(&request.headers, source))
}

/// Whether a request's sender has an address of the other IP version than we see it at. None: it says
/// nothing, or somebody else has passed it on.
pub(super) fn is_translated(request: &Request, flow: &Flow) -> Option<bool> {
    let mut vias = request.headers.list(&Name::Via);
    let (only, None) = (vias.next(), vias.next()) else {
        return None;
    };
    let at = ViaRef::parse(only?).ok()?.host.ip()?;
    Some(differs(at, flow.remote.ip()))
}

/// Whether two addresses are of different IP versions.
fn differs(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical().is_ipv4() != other.to_canonical().is_ipv4()
}

/// Whether who answers our INVITE from this address has a Contact that is of its own network alone.
pub(super) fn is_behind_nat(response: &Response, source: IpAddr) -> bool {
    hides(&response.headers, source)
}

/// Whether a Contact is private, and its source is not.
fn hides(headers: &Headers, source: IpAddr) -> bool {
    let contact = contact_address(headers);
    contact.is_some_and(|at| at != source && is_private(at) && !is_private(source))
}

fn contact_address(headers: &Headers) -> Option<IpAddr> {
    let contacts = headers.contacts().ok()?;
    contacts.first()?.sip_uri()?.host.ip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::method::Method;
    use crate::sip::transport::HostId;

    #[test]
    fn a_connection_is_used_for_who_is_at_its_end() {
        let flow = |transport| Flow {
            transport,
            local: ([192, 0, 2, 9], 5060).into(),
            remote: ([198, 51, 100, 1], 40_000).into(),
            connection: Some(ConnectionId(3)),
            host: Some(HostId(4)),
        };
        let path = |transport, contact: &str, route: Option<&str>, nat| {
            let mut invite = Request::new(Method::Invite, "sip:h");
            invite.headers.push(Name::From, "<sip:a@h>;tag=1");
            invite.headers.push(Name::To, "<sip:b@h>");
            invite.headers.push(Name::CallId, "1");
            invite.headers.push(Name::CSeq, "1 INVITE");
            let mut ok = Response::to(&invite, 200);
            ok.headers.set(Name::To, "<sip:b@h>;tag=2");
            ok.headers.push(Name::Contact, format!("<sip:b@{contact}>"));
            if let Some(route) = route {
                ok.headers
                    .push(Name::RecordRoute, format!("<sip:{route};lr>"));
            }
            let dialog = Dialog::uac(&invite, &ok).unwrap();
            path_of(&dialog, flow(transport), nat, false)
        };
        let tcp = Transport::Tcp;
        for (contact, route, nat) in [
            ("198.51.100.1:5062;transport=tcp", None, false),
            ("phone.example.com;transport=tcp", None, false),
            ("10.0.0.7;transport=tcp", None, true),
            ("10.0.0.7;transport=tcp", Some("203.0.113.2"), false),
        ] {
            assert_eq!(path(tcp, contact, route, nat), flow(tcp), "{contact}");
        }
        assert_eq!(
            path(Transport::Ws, "10.0.0.7", None, false),
            flow(Transport::Ws)
        );
        // A dispatcher has passed the INVITE on, and is not on the way.
        let direct = path(tcp, "203.0.113.7:5070;transport=tcp", None, false);
        assert_eq!(direct.connection, None);
        assert_eq!(direct.remote, ([203, 0, 113, 7], 5070).into());
        // Wherever that is, it is who we have called.
        assert_eq!(direct.host, Some(HostId(4)));
    }

    /// The port that somebody has called us from is nobody's when the connection is gone.
    #[test]
    fn who_is_cut_off_is_sought_by_the_name_of_its_hop() {
        let cut = |transport, contact: &str, route: Option<&str>, nat| {
            let flow = Flow {
                transport,
                local: ([192, 0, 2, 9], 5060).into(),
                remote: ([203, 0, 113, 5], 40_123).into(),
                connection: None,
                host: None,
            };
            let mut invite = Request::new(Method::Invite, "sip:h");
            invite.headers.push(Name::From, "<sip:a@h>;tag=1");
            invite.headers.push(Name::To, "<sip:b@h>");
            invite.headers.push(Name::CallId, "1");
            invite.headers.push(Name::CSeq, "1 INVITE");
            invite
                .headers
                .push(Name::Contact, format!("<sip:a@{contact}>"));
            if let Some(route) = route {
                invite.headers.push(Name::RecordRoute, format!("<{route}>"));
            }
            let dialog = Dialog::uas(&invite, "2").unwrap();
            let path = path_of(&dialog, flow, nat, true);
            let hop = lost_hop(&dialog, &flow, nat);
            (hop.unwrap_or_default(), path.transport, path.remote)
        };
        let at = |port| SocketAddr::from(([203, 0, 113, 5], port));
        let (tcp, tls) = (Transport::Tcp, Transport::Tls);
        let sbc = "sip:sbc.example.com:5071;transport=tls;lr";
        assert_eq!(
            cut(tls, "10.0.0.7", Some(sbc), true),
            (sbc.to_owned(), tls, at(5071))
        );
        let bare = "sip:sbc.example.com;lr";
        let named = format!("{bare};transport=tcp");
        assert_eq!(
            cut(tcp, "10.0.0.7", Some(bare), false),
            (named, tcp, at(5060))
        );
        let named = "sip:a@phone.example.com;transport=tls".to_owned();
        assert_eq!(
            cut(tls, "phone.example.com", None, false),
            (named, tls, at(5061))
        );
        // An address needs no asking; behind a NAT nobody is called back.
        let elsewhere = SocketAddr::from(([198, 51, 100, 1], 5070));
        assert_eq!(
            cut(tcp, "198.51.100.1:5070", None, false),
            (String::new(), tcp, elsewhere)
        );
        assert_eq!(
            cut(tcp, "phone.example.com", None, true),
            (String::new(), tcp, at(40_123))
        );
    }

    #[test]
    fn a_nat_is_where_the_addresses_of_via_or_contact_say_so() {
        let nat = |via: &str, contact: &str, source: &str| {
            let mut invite = Request::new(Method::Invite, "sip:h");
            let line = format!("SIP/2.0/UDP {via};received={source};branch=z9hG4bK1");
            invite.headers.push(Name::Via, line);
            invite
                .headers
                .push(Name::Contact, format!("<sip:a@{contact}>"));
            let remote = (source.parse::<IpAddr>().unwrap(), 5060).into();
            let local = ([192, 0, 2, 9], 5060).into();
            let flow = Flow {
                transport: Transport::Udp,
                local,
                remote,
                connection: None,
                host: None,
            };
            let told = behind_nat(&invite, &flow).unwrap();
            // Of a request within the dialog, which needs no Contact.
            invite.headers.remove(&Name::Contact);
            let named = via.parse::<IpAddr>().is_err();
            assert_eq!(behind_nat(&invite, &flow).is_none(), named, "{via}");
            told
        };
        assert!(nat("192.168.1.5", "192.168.1.5", "198.51.100.1"));
        assert!(!nat("198.51.100.1", "203.0.113.7", "198.51.100.1"));
        // A name says nothing, but for who gives a private address from a public one.
        assert!(!nat("sbc.example.com", "203.0.113.7", "198.51.100.1"));
        assert!(!nat("sbc.example.com", "10.0.0.7", "10.0.0.1"));
        assert!(nat("pc.example.com", "10.0.0.7", "198.51.100.1"));
        assert!(nat("pc.example.com", "100.64.1.1", "198.51.100.1"));
        assert!(!nat("pc.example.com", "phone.example.com", "198.51.100.1"));
    }

    #[test]
    fn who_answers_from_a_public_address_with_a_private_contact_is_where_it_was_called() {
        let hidden = |contact: &str, source: [u8; 4]| {
            let mut ok = Response::to(&Request::new(Method::Invite, "sip:h"), 200);
            let contact = format!("<sip:b@{contact}>");
            ok.headers.set(Name::Contact, contact);
            is_behind_nat(&ok, source.into())
        };
        assert!(hidden("192.168.1.5:5062", [198, 51, 100, 1]));
        assert!(!hidden("203.0.113.7", [198, 51, 100, 1]));
        assert!(!hidden("192.168.1.5", [192, 168, 1, 1]), "the same network");
    }
}
