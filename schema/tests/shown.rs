//! A terminal gets only colours, tabs, line ends and harmless characters, whatever the bytes of a log are.

use proptest::collection::vec;
use proptest::prelude::*;
use schema::shown::{self, Face, Screen, face};

/// Whether a text has only what a terminal may get of a log.
fn is_harmless(text: &str) -> bool {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '\t' | '\r' | '\n' => &rest[1..],
            '\x1b' => {
                let Some((colour, after)) = rest.strip_prefix("\x1b[").and_then(|rest| rest.split_once('m')) else {
                    return false;
                };
                if !colour.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')) {
                    return false;
                }
                after
            }
            c if face(c) == Face::Itself => &rest[c.len_utf8()..],
            _ => return false,
        };
    }
    true
}

/// Returns bytes with many beginnings and ends of escape sequences.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    const PARTS: [&[u8]; 24] = [
        b"\x1b",
        b"[",
        b"]",
        b"P",
        b"_",
        b"\\",
        b"m",
        b"1;31",
        b"38:2::1:2:3",
        b";",
        b"?",
        b"\x07",
        b"\x9b",
        b"\xc2",
        b"\x9c",
        b"\xe2\x80\xae",
        b"\xe2",
        b"\x80",
        b"\xff",
        b"\n",
        b"\r",
        b"\t",
        b"52;c;",
        b"\xf0\x9f\x91\x8d",
    ];
    let part = prop_oneof![
        4 => (0..PARTS.len()).prop_map(|at| PARTS[at].to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(part, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_log_is_harmless_however_it_comes(pieces in pieces()) {
        let mut screen = Screen::new();
        let mut text: String = pieces.iter().map(|piece| screen.push(piece)).collect();
        text.push_str(&screen.finish());
        prop_assert!(is_harmless(&text), "{text:?}");
        let mut whole = Screen::new();
        let at_once = whole.push(&pieces.concat()) + &whole.finish();
        prop_assert_eq!(text, at_once);
    }

    #[test]
    fn a_text_is_harmless(text in any::<String>(), piece in pieces()) {
        let text = text + &String::from_utf8_lossy(&piece.concat());
        prop_assert!(shown::line(&text).chars().all(|c| face(c) == Face::Itself));
        let written = serde_json::to_string(&text).expect("a text is JSON");
        prop_assert_eq!(serde_json::from_str::<String>(&shown::json(&written)).expect("it is JSON"), text);
        prop_assert!(shown::json(&written).chars().all(|c| face(c) == Face::Itself));
    }
}
