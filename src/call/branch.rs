//! The places that an INVITE of ours has reached: a proxy may try several, at once or in turn
//! (RFC 3261 §13.2.2).

use crate::sdp::negotiate::Agreed;
use crate::sip::dialog::{Dialog, DialogId};
use crate::sip::message::{Request, Response};

/// The most that are told apart. Of further ones no provisional response is taken; who answers is heard
/// all the same.
const MAX_BRANCHES: usize = 8;

/// One of them.
#[derive(Debug)]
pub(super) struct Branch {
    /// Its tag; empty where its response had none.
    tag: String,
    /// Its dialog; none where its response had no tag, or it has hung up.
    pub dialog: Option<Dialog>,
    /// It has hung up, and stays so.
    pub gone: bool,
    /// The RSeq of the last reliable provisional response that we have acknowledged (RFC 3262 §4).
    pub rseq: Option<u32>,
    /// Its answer to our offer, which came before the final response.
    pub answer: Option<Vec<u8>>,
    /// That is final: it came reliably (RFC 3262 §5).
    pub settled: bool,
    /// What an UPDATE behind that has agreed on instead.
    pub updated: Option<Box<Agreed>>,
}

impl Branch {
    /// Whose provisional response this is. None: one more than are told apart.
    pub fn of<'a>(response: &Response, all: &'a mut Vec<Self>) -> Option<&'a mut Self> {
        let tag = response.to_tag().unwrap_or_default();
        if let Some(known) = all.iter().position(|branch| branch.tag == tag) {
            return all.get_mut(known);
        }
        if all.len() >= MAX_BRANCHES {
            return None;
        }
        all.push(Self {
            tag,
            dialog: None,
            gone: false,
            rseq: None,
            answer: None,
            settled: false,
            updated: None,
        });
        all.last_mut()
    }

    /// The one of this tag, while it is in a dialog with us.
    pub fn talking<'a>(tag: &str, all: &'a mut [Self]) -> Option<&'a mut Self> {
        let mut all = all.iter_mut();
        all.find(|branch| branch.tag == tag && branch.dialog.is_some())
    }

    /// Makes its dialog of a provisional response (RFC 3261 §12.1.2): of its first with a tag, and anew of
    /// its first reliable one, which has to say all of it. The dialog's name, where there was none.
    pub fn learn(
        &mut self,
        invite: &Request,
        response: &Response,
        rseq: Option<u32>,
    ) -> Option<DialogId> {
        let known = self.dialog.is_some() && (rseq.is_none() || self.rseq.is_some());
        if known || self.gone {
            return None;
        }
        let mut dialog = Dialog::uac(invite, response).ok()?;
        let id = dialog.id.clone();
        let before = self.dialog.take();
        if let Some(before) = &before {
            dialog.local_cseq = before.local_cseq;
            dialog.remote_cseq = before.remote_cseq;
        }
        self.dialog = Some(dialog);
        before.is_none().then_some(id)
    }

    /// Whose final response this is. One that gave no tag before is meant where there is no other.
    pub fn answering(response: &Response, mut all: Vec<Self>) -> Option<Self> {
        let tag = response.to_tag().unwrap_or_default();
        let known = |wanted: &str| all.iter().position(|branch| branch.tag == wanted);
        let at = known(&tag).or_else(|| known(""))?;
        Some(all.swap_remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::Name;
    use crate::sip::method::Method;

    #[test]
    fn so_many_branches_are_told_apart_and_the_next_is_passed_over() {
        let of = |tag: usize| {
            let mut response = Response::to(&Request::new(Method::Invite, "sip:h"), 183);
            response.headers.set(Name::To, format!("<sip:h>;tag={tag}"));
            response
        };
        let mut all = Vec::new();
        for tag in 0..1000 {
            let known = Branch::of(&of(tag), &mut all);
            assert_eq!(known.is_some(), tag < MAX_BRANCHES, "{tag}");
        }
        assert_eq!(all.len(), MAX_BRANCHES);
        // Those that are known stay so.
        Branch::of(&of(3), &mut all).unwrap().answer = Some(b"3".to_vec());
        let answered = Branch::answering(&of(3), all).unwrap();
        assert_eq!(answered.answer, Some(b"3".to_vec()));
    }
}
