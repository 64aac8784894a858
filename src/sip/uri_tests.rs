use super::*;
use proptest::prelude::*;

fn uri(text: &str) -> Uri {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn all_parts() {
    let u = uri("sips:al%20ice:s%3Aecret@[2001:db8::1]:5071;transport=tcp;lr?Subject=a%20b&x=y");
    assert_eq!(u.scheme, Scheme::Sips);
    assert_eq!(u.user.as_deref(), Some("al ice"));
    assert_eq!(u.password.as_deref(), Some("s:ecret"));
    assert_eq!(
        u.socket_address(5060),
        Some("[2001:db8::1]:5071".parse().unwrap())
    );
    assert_eq!(u.params.value("TRANSPORT"), Some("tcp"));
    assert!(u.is_loose_route());
    assert_eq!(u.headers.as_deref(), Some("Subject=a%20b&x=y"));
}

#[test]
fn printing_keeps_the_writing() {
    for text in [
        "sip:alice@example.com",
        "sip:%61lice%00@example.com;a=%41",
        "sip:x%ffy:%41@h",
        "sip:conf=12;x=?/@10.0.0.1:5060",
        "sip:[::1]",
        "sip:#97@h",
        "sip:Übung@h",
    ] {
        assert_eq!(uri(text).to_string(), text);
    }
    let mut changed = uri("sip:%61lice@h");
    changed.user = Some("b b".into());
    assert_eq!(changed.to_string(), "sip:b%20b@h");
}

#[test]
fn what_is_not_a_uri() {
    for (text, error) in [
        ("", UriError::NotAUri),
        ("alice@h", UriError::NotAUri),
        ("<sip:a@h>", UriError::NotAUri),
        ("nobodyKnowsThisScheme:x", UriError::Scheme),
        ("sip:", UriError::Host),
        ("sip:@h", UriError::User),
        ("sip:a@b@h", UriError::User),
        ("sip:a b@h", UriError::Character),
        ("sip:a@h ", UriError::Character),
        ("sip:a%4@h", UriError::Escape),
        ("sip:a@h:", UriError::Host),
        ("sip:a@h:65536", UriError::Host),
        ("sip:a@h:+1", UriError::Host),
        ("sip:a@[::1", UriError::Host),
        ("sip:a@[::1]x", UriError::Host),
        ("sip:a@h;;lr", UriError::Params(ParamsError::Empty)),
        ("sip:a@h?", UriError::Headers),
    ] {
        assert_eq!(text.parse::<Uri>(), Err(error), "{text}");
    }
}

/// The examples of RFC 3261 §19.1.4.
#[test]
fn equivalence_of_the_rfc() {
    for (a, b) in [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ] {
        assert!(uri(a).equivalent(&uri(b)), "{a} {b}");
        assert!(uri(b).equivalent(&uri(a)), "{b} {a}");
    }
    for (a, b) in [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
    ] {
        assert!(!uri(a).equivalent(&uri(b)), "{a} {b}");
        assert!(!uri(b).equivalent(&uri(a)), "{b} {a}");
    }
}

#[test]
fn the_first_of_two_counts() {
    let twice = uri("sip:h;a=1;a=2");
    assert!(twice.equivalent(&twice));
    assert!(twice.equivalent(&uri("sip:h;a=1")));
    assert!(!twice.equivalent(&uri("sip:h;a=2")));
}

#[test]
fn other_schemes() {
    let tel: AnyUri = "tel:+1-212".parse().unwrap();
    assert_eq!(tel, AnyUri::Other("tel:+1-212".into()));
    assert!("tel:+1 212".parse::<AnyUri>().is_err());
}

proptest! {
    #[test]
    fn any_user_survives(user in "\\PC{1,12}", password in proptest::option::of("\\PC{0,6}")) {
        let mut u = Uri::new(Some(&user), Host::Name("h".into()), None);
        u.password = password;
        let read = uri(&u.to_string());
        prop_assert_eq!(&read.user, &u.user);
        prop_assert_eq!(&read.password, &u.password);
    }

    #[test]
    fn printing_is_stable(text in "sips?:([a-z%#;?=:&0-9]{0,8}@)?[a-z0-9.:\\[\\]]{1,8}(;[a-z=%41]{0,5}){0,2}(\\?[a-z=&]{0,4})?") {
        crate::sip::fuzz::uri(text.as_bytes());
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,30}") {
        crate::sip::fuzz::uri(text.as_bytes());
        crate::sip::fuzz::uri(format!("sip:{text}").as_bytes());
    }
}
