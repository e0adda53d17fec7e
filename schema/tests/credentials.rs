//! Tests of credentials as text and as files, and of the keys of processes.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without ends it")]

use std::io::ErrorKind;
use std::path::Path;

use proptest::prelude::*;
use schema::identity::{Identity, IdentityError};
use schema::sturdy_ref::{CapFileError, Fingerprint, SturdyRef, SturdyRefError, Token};

const TEXT: &str = "capnp://sha-256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8@ci.example.org:7711,[::1]:7711/\
                    ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";

fn problem(text: &str) -> SturdyRefError {
    text.parse::<SturdyRef>().unwrap_err()
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn text_is_read_and_written() {
    let reference: SturdyRef = TEXT.parse().unwrap();
    assert_eq!(reference.addresses, ["ci.example.org:7711", "[::1]:7711"]);
    assert_eq!(reference.fingerprint.0[..3], [0, 1, 2]);
    assert_eq!(reference.token.as_bytes()[..3], [32, 33, 34]);
    assert_eq!(reference.to_string(), TEXT);
}

#[test]
fn nothing_but_display_shows_the_token() {
    let reference: SturdyRef = TEXT.parse().unwrap();
    assert!(!format!("{reference:?}").contains("ICEi"));
    let cut = TEXT.strip_suffix('8').unwrap();
    assert!(!problem(cut).to_string().contains("ICEi"));
}

#[test]
fn errors_name_the_place() {
    for (from, to, error) in [
        ("capnp://", "http://", SturdyRefError::Scheme),
        ("sha-256", "sha-512", SturdyRefError::Algorithm),
        (":AAEC", ":AA", SturdyRefError::Fingerprint),
        ("@", "#", SturdyRefError::NoAddress),
        ("/ICE", "ICE", SturdyRefError::NoToken),
        ("/ICE", "/IC", SturdyRefError::Token),
    ] {
        assert_eq!(problem(&TEXT.replace(from, to)), error, "{from} -> {to}");
    }
    for address in ["", "host", "host:0", "host:65536", "host:+1", ":1", "a b:1", "::1:80", "[::1:80", "[x]:80", "a:1,"]
    {
        let text = TEXT.replace("ci.example.org:7711,[::1]:7711", address);
        assert!(matches!(problem(&text), SturdyRefError::Address { .. }), "{address}");
    }
    let many = vec!["a:1"; 17].join(",");
    let text = TEXT.replace("ci.example.org:7711", &many);
    assert_eq!(problem(&text), SturdyRefError::TooManyAddresses { count: 18 });
}

#[test]
fn files_hold_one_credential_and_comments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cap");
    let reference: SturdyRef = TEXT.parse().unwrap();
    reference.save_new(&path).unwrap();
    assert_eq!(SturdyRef::load(&path).unwrap(), reference);
    #[cfg(unix)]
    assert_eq!(mode(&path), 0o600);
    assert_eq!(reference.save_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let other = SturdyRef { token: Token::random(), ..reference.clone() };
    other.save(&path).unwrap();
    assert_eq!(SturdyRef::load(&path).unwrap(), other);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no drafts are left");
    assert_eq!(SturdyRef::from_text("# nothing\n\n"), Err(SturdyRefError::Empty));
    assert_eq!(SturdyRef::from_text(&format!("{TEXT}\n{TEXT}")), Err(SturdyRefError::Several));
}

#[cfg(unix)]
#[test]
fn files_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap();
    let path = folder.path().join("a.cap");
    TEXT.parse::<SturdyRef>().unwrap().save(&path).unwrap();
    open(&path);
    let error = SturdyRef::load(&path).unwrap_err();
    assert!(matches!(error, CapFileError::Exposed { mode: 0o640, .. }));
    assert!(error.to_string().contains("chmod 600"));
    let path = folder.path().join("key");
    Identity::load_or_create(&path).unwrap();
    open(&path);
    assert!(matches!(Identity::load(&path), Err(IdentityError::Exposed { .. })));
}

#[test]
fn a_key_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    assert!(matches!(Identity::load(&path), Err(IdentityError::Unreadable { .. })));
    let made = Identity::load_or_create(&path).unwrap();
    assert_eq!(Identity::load_or_create(&path).unwrap().fingerprint(), made.fingerprint());
    assert_ne!(Identity::generate().fingerprint(), made.fingerprint());
    #[cfg(unix)]
    assert_eq!(mode(&path), 0o600);
    std::fs::write(&path, "no key").unwrap();
    assert!(matches!(Identity::load(&path), Err(IdentityError::Malformed { .. })));
}

#[test]
fn tokens_are_32_bytes_and_differ() {
    assert_ne!(Token::random(), Token::random());
    assert!(Token::from_bytes(&[0; 31]).is_err());
    let token = Token::from_bytes(&[7; 32]).unwrap();
    assert_eq!(token, Token::from_bytes(&[7; 32]).unwrap());
    assert_ne!(&token.digest(), token.as_bytes());
}

proptest! {
    #[test]
    fn any_reference_is_read_again(key: [u8; 32], token: [u8; 32], host in "[a-z0-9.-]{1,30}", port in 1u16..) {
        let token = Token::from_bytes(&token).unwrap();
        let reference = SturdyRef { fingerprint: Fingerprint(key), addresses: vec![format!("{host}:{port}")], token };
        prop_assert_eq!(reference.to_string().parse::<SturdyRef>().unwrap(), reference);
    }

    #[test]
    fn no_text_panics(text in "(capnp://)?(sha-256:)?[A-Za-z0-9@/:,\\[\\]_.-]{0,120}", any in ".{0,60}") {
        let _ = text.parse::<SturdyRef>();
        let _ = SturdyRef::from_text(&any);
    }
}
