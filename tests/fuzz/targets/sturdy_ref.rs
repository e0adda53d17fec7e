//! The reader of the text of a credential, as a `.cap` file has it.

use schema::sturdy_ref::SturdyRef;

pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match SturdyRef::from_text(&text) {
        Ok(read) => check(&read),
        // the message is not much longer than the text
        Err(error) => assert!(error.to_string().len() < 200 + text.len()),
    }
}

fn check(read: &SturdyRef) {
    let again: SturdyRef = read.to_string().parse().expect("what is written can be read");
    assert_eq!(&again, read);
    assert!(!read.addresses.is_empty());
    for address in &read.addresses {
        let (host, port) = address.rsplit_once(':').expect("an address has a port");
        assert!(!host.is_empty() && port.parse::<u16>().is_ok(), "{address}");
        assert!(!address.contains(|c: char| c.is_control() || c.is_whitespace()), "{address:?}");
    }
    assert!(!format!("{read:?}").contains(&read.token.reveal()));
}
