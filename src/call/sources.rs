//! Where a party's media may come from, besides the address that its description names: where its
//! signalling has come from, and the hops that a proxy tells of. Anybody else who sends to the port
//! would be heard in place of a party that has not sent yet, and be sent to.

use std::net::IpAddr;

use super::Call;
use crate::rtp::latch::{MAX_SOURCES, Sources};
use crate::sdp::description::is_private;
use crate::sdp::negotiate::Agreed;
use crate::sip::header::{Name, ViaRef};
use crate::sip::message::{Request, Response};

/// The addresses that the last description came by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hops {
    all: [Option<IpAddr>; MAX_SOURCES],
    /// A proxy has passed it on, and does not say from where.
    hidden: bool,
}

impl Hops {
    /// Those of a request that came from this address: its source, and where the first hop says that it
    /// is, and has seen it.
    pub fn of(request: &Request, source: IpAddr) -> Self {
        let mut hops = Self::default();
        hops.add(source);
        let mut vias = request.headers.list(&Name::Via);
        let proxied = vias.next().is_some() && vias.next().is_some();
        let first = request.headers.list(&Name::Via).last();
        let Some(Ok(first)) = first.map(ViaRef::parse) else {
            return hops;
        };
        let received = first.param("received").and_then(|(_, value)| value);
        let received = received.and_then(|text| text.trim_matches(['[', ']']).parse().ok());
        hops.hidden = proxied && received.is_none();
        for address in [received, first.host.ip()].into_iter().flatten() {
            hops.add(address);
        }
        hops
    }

    /// Those of an answer to an INVITE of ours that went to `place`. Unless its Contact is just there,
    /// somebody has passed it on, or a NAT is between.
    pub fn of_answer(response: &Response, place: IpAddr) -> Self {
        let mut hops = Self::default();
        hops.add(place);
        let contacts = response.headers.contacts().unwrap_or_default();
        let contact = contacts
            .first()
            .and_then(|contact| contact.sip_uri()?.host.ip());
        let direct = contact == Some(place.to_canonical());
        hops.hidden = !direct || response.headers.contains(&Name::RecordRoute);
        hops
    }

    fn add(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        if !self.has(address)
            && let Some(place) = self.all.iter_mut().find(|place| place.is_none())
        {
            *place = Some(address);
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.all.contains(&Some(address))
    }
}

impl Call {
    /// Whether its peer is one whose media may come from anywhere, and go anywhere.
    pub fn set_trusted(&mut self, trusts: impl Fn(IpAddr) -> bool) {
        self.trusted = trusts(self.flow.remote.ip());
        let places = self.alternatives.iter().map(|flow| flow.remote.ip());
        self.trusted_places = places.filter(|place| trusts(*place)).collect();
    }

    /// It goes on at another place.
    pub(super) fn trust_place(&mut self) {
        self.trusted = self.trusted_places.contains(&self.flow.remote.ip());
    }

    /// Where its media may come from.
    pub(super) fn sources(&self, agreed: &Agreed) -> Sources {
        // Whoever has the keys is the party.
        if self.settings.media_from_anywhere || self.trusted || agreed.security.is_some() {
            return Sources::Any;
        }
        let named = agreed.remote_rtp.map(|address| address.ip().to_canonical());
        let unknown = named.is_some_and(|named| is_private(named) && !self.hops.has(named));
        if self.hops.hidden && unknown {
            // Behind a NAT that nobody has told us of.
            return Sources::Any;
        }
        Sources::Of(self.hops.all)
    }

    /// Whether who signals is where its media goes: somebody else has not asked for that.
    pub(super) fn is_its_own(&self, agreed: &Agreed) -> bool {
        let named = agreed.remote_rtp.map(|address| address.ip().to_canonical());
        let source = self.flow.remote.ip().to_canonical();
        self.trusted || agreed.security.is_some() || named.is_none_or(|named| named == source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::method::Method;

    #[test]
    fn hops_are_those_of_the_vias_and_the_source() {
        let source: IpAddr = [198, 51, 100, 7].into();
        let of = |vias: &[&str]| {
            let mut request = Request::new(Method::Invite, "sip:h");
            for via in vias {
                request.headers.push(Name::Via, *via);
            }
            Hops::of(&request, source)
        };
        let phone = "SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKa";
        let direct = of(&[phone]);
        assert!(direct.has(source) && direct.has([192, 168, 1, 5].into()) && !direct.hidden);
        let proxy = "SIP/2.0/UDP proxy.example;branch=z9hG4bKb;received=198.51.100.7";
        assert!(
            of(&[proxy, phone]).hidden,
            "it does not say where the phone is"
        );
        let told = of(&[
            proxy,
            "SIP/2.0/UDP 192.168.1.5;branch=z9hG4bKa;received=203.0.113.9;rport=999",
        ]);
        assert!(told.has([203, 0, 113, 9].into()) && !told.hidden);
        // However many there are, the party's own counts.
        let mut many = vec![proxy; 30];
        many.extend(["SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKa;received=203.0.113.9"]);
        let many = of(&many);
        assert!(many.has([203, 0, 113, 9].into()) && many.has(source));
    }
}
