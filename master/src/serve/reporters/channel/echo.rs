//! Shows the answer of a receiver without the parts that repeat our address, because its path and query may be a secret. Pure.

use hyper::Uri;

/// The text that replaces a part of our address.
const HIDDEN: &str = "…";
/// The fewest bytes of a part that is hidden. A shorter part of a path or a query is rather a common word than a secret.
const PART_BYTES_MIN: usize = 6;

/// Returns the text without the path and the query of this address, and without longer parts of them.
pub(super) fn without_address(text: &str, uri: &Uri) -> String {
    let secrets = secrets(uri);
    let text = secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN));
    without_cut_end(text, &secrets)
}

/// Returns the texts to hide, the longest first, so that a whole address is hidden as one.
fn secrets(uri: &Uri) -> Vec<&str> {
    let whole = uri.path_and_query().map_or("", |whole| whole.as_str());
    let query = uri.query().unwrap_or_default();
    let parts = whole.split(['/', '?', '&', '=']).filter(|part| part.len() >= PART_BYTES_MIN);
    let lone = [whole, uri.path(), query].into_iter().filter(|part| part.len() > 1);
    let mut secrets: Vec<&str> = lone.chain(parts).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// Hides the beginning of a secret at the end of the text, because the answer may have been cut within one.
fn without_cut_end(mut text: String, secrets: &[&str]) -> String {
    let begins = secrets.iter().flat_map(|secret| secret.char_indices().map(|(at, _)| &secret[..at]));
    let found = begins.filter(|begin| begin.len() >= PART_BYTES_MIN && text.ends_with(begin)).map(str::len).max();
    if let Some(count) = found {
        text.truncate(text.len() - count);
        text.push_str(HIDDEN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_receiver_repeats_of_our_address_is_hidden() {
        let uri: Uri = "https://chat.example.org/hooks/T0/s3cr3t-of-a-room?room=1&token=geheim99".parse().unwrap();
        for (said, shown) in [
            ("no /hooks/T0/s3cr3t-of-a-room?room=1&token=geheim99 here", "no … here"),
            ("Cannot POST /hooks/T0/s3cr3t-of-a-room", "Cannot POST …"),
            ("bad query room=1&token=geheim99", "bad query …"),
            ("bad query room=1&amp;token=geheim99", "bad query room=1&amp;token=…"),
            ("{\"path\":\"\\/hooks\\/T0\\/s3cr3t-of-a-room\"}", "{\"path\":\"\\/hooks\\/T0\\/…\"}"),
            ("no room s3cr3t-of-a-room, see /help", "no room …, see /help"),
            ("cut: /hooks/T0/s3cr3t-of", "cut: …"),
            ("the hooks are busy", "the hooks are busy"),
        ] {
            assert_eq!(without_address(said, &uri), shown);
        }
    }

    #[test]
    fn an_address_without_a_path_hides_nothing() {
        let said = "see https://chat.example.org/help";
        assert_eq!(without_address(said, &"https://chat.example.org".parse().unwrap()), said);
        assert_eq!(without_address(said, &"https://chat.example.org/".parse().unwrap()), said);
    }
}
