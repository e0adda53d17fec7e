//! Sends one mail by hand, to check `[mail]` of the master file before a build fails.

use super::smtp;
use crate::config::MailConfig;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use schema::values::Time;
use std::time::{Duration, SystemTime};

const SUBJECT: &str = "A test of Guild's mail";
const TEXT: &str = "Somebody ran `guild-master test-mail`. The mails of notices come the same way.\n";

/// Sends a mail through the server that the master file names, dated `now`, and returns what the server answered.
///
/// # Errors
/// A sentence, if an address does not parse, if the server cannot be reached, or if it refuses the mail.
pub fn send_test_mail(mail: &MailConfig, to: &str, now: Time) -> Result<String, String> {
    let mailbox =
        |text: &str| text.parse::<Mailbox>().map_err(|error| format!("`{text}` is not a mail address: {error}"));
    let (from, to) = (mailbox(&mail.from)?, mailbox(to)?);
    let message = Message::builder()
        .from(from.clone())
        .to(to.clone())
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(now.0))
        .subject(SUBJECT)
        .header(ContentType::TEXT_PLAIN)
        .body(TEXT.to_owned())
        .map_err(|error| format!("failed to write the message: {error}"))?;
    let server = format!("{}:{}", mail.host, mail.port);
    let handed = smtp::hand_over(mail, &from.email, std::slice::from_ref(&to.email), &message.formatted())
        .map_err(|why| format!("{server}: {why}"))?;
    match handed.refused.iter().chain(&handed.put_off).next() {
        Some((address, why)) => Err(format!("{server} does not take mail for {address}: {why}")),
        None => Ok(format!("{server} took the mail for {}", to.email)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    /// A mail server for one conversation, which gives `answer` to the command RCPT. Its thread returns all that the client sent.
    fn server(answer: &'static str) -> (MailConfig, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let talking = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut out = stream.try_clone().unwrap();
            out.write_all(b"220 test\r\n").unwrap();
            let (mut said, mut is_data) = (String::new(), false);
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let reply = match (is_data, line.as_str()) {
                    (true, ".") => "250 taken",
                    (true, _) => "",
                    (false, "DATA") => "354 go on",
                    (false, command) if command.starts_with("RCPT") => answer,
                    (false, "QUIT") => "221 bye",
                    (false, _) => "250 fine",
                };
                is_data = line == "DATA" || (is_data && line != ".");
                said.push_str(&format!("{line}\n"));
                if !reply.is_empty() && out.write_all(format!("{reply}\r\n").as_bytes()).is_err() {
                    break;
                }
            }
            said
        });
        (
            MailConfig {
                host: "127.0.0.1".to_owned(),
                port,
                from: "Guild <guild@example.org>".to_owned(),
                login: None,
            },
            talking,
        )
    }

    /// T6.5: a test mail shows whether mail gets through, and what the server answers.
    #[test]
    fn a_test_mail_says_what_the_server_said() {
        let (mail, talking) = server("250 fine");
        let told = send_test_mail(&mail, "ada@example.org", Time(1_700_000_000_000)).unwrap();
        assert_eq!(told, format!("127.0.0.1:{} took the mail for ada@example.org", mail.port));
        assert!(talking.join().unwrap().contains("Subject: A test of Guild's mail"));
        let (mail, talking) = server("550 no such user here");
        let why = send_test_mail(&mail, "nobody@example.org", Time(1_700_000_000_000)).unwrap_err();
        assert!(
            why.contains("does not take mail for nobody@example.org") && why.contains("no such user here"),
            "{why}"
        );
        assert!(!talking.join().unwrap().contains("DATA"));
        assert!(send_test_mail(&mail, "no address", Time(0)).unwrap_err().contains("is not a mail address"));
    }
}
