//! Holds one conversation with a mail server (RFC 5321). The server accepts or refuses each recipient separately, and the accepted ones
//! get the message at once.

use crate::config::MailConfig;
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, response::Response};
use std::time::Duration;

/// The time in which the server must answer each command.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The port on which TLS begins at once (RFC 8314).
const SUBMISSIONS: u16 = 465;

/// `HandedOver` says what the server did with a message, recipient by recipient.
#[derive(Debug, Default)]
pub(super) struct HandedOver {
    /// Whether the server accepted the message for at least one recipient.
    pub(super) is_taken: bool,
    /// The recipients for whom the server will never accept the message, each with the reason.
    pub(super) refused: Vec<(Address, String)>,
    /// The recipients for whom the server may accept the message later, each with the reason.
    pub(super) put_off: Vec<(Address, String)>,
}

/// Delivers a message. An error says why nobody has the message now.
pub(super) fn hand_over(
    mail: &MailConfig,
    from: &Address,
    to: &[Address],
    message: &[u8],
) -> Result<HandedOver, String> {
    let mut connection = connect(mail)?;
    let handed = converse(&mut connection, from, to, message);
    // the result is known by now, so the answer to QUIT does not matter
    let _ = connection.quit();
    handed
}

fn converse(
    connection: &mut SmtpConnection,
    from: &Address,
    to: &[Address],
    message: &[u8],
) -> Result<HandedOver, String> {
    let mut handed = HandedOver::default();
    if let Some(why) = refusal(connection.command(Mail::new(Some(from.clone()), Vec::new())))? {
        handed.refused = to.iter().map(|address| (address.clone(), why.clone())).collect();
        return Ok(handed);
    }
    let mut accepted = Vec::new();
    for address in to {
        match connection.command(Rcpt::new(address.clone(), Vec::new())) {
            Ok(_) => accepted.push(address.clone()),
            Err(error) if is_final(&error) => handed.refused.push((address.clone(), words(&error))),
            Err(error) if error.is_transient() => handed.put_off.push((address.clone(), words(&error))),
            Err(error) => return Err(words(&error)),
        }
    }
    if accepted.is_empty() {
        return Ok(handed);
    }
    let mut why = refusal(connection.command(Data))?;
    if why.is_none() {
        why = refusal(connection.message(message))?;
    }
    match why {
        None => handed.is_taken = true,
        Some(why) => handed.refused.extend(accepted.into_iter().map(|address| (address, why.clone()))),
    }
    Ok(handed)
}

/// Returns why the server refuses the message for good, if it does. A refusal that may pass is an error.
fn refusal(answer: Result<Response, Error>) -> Result<Option<String>, String> {
    match answer {
        Ok(_) => Ok(None),
        Err(error) if is_final(&error) => Ok(Some(words(&error))),
        Err(error) => Err(words(&error)),
    }
}

/// Connects to the mail server. Without a login it uses TLS if the server offers it, with any certificate, as mail servers do among each
/// other. A password goes only to a server that proved its name, or to this machine.
fn connect(mail: &MailConfig) -> Result<SmtpConnection, String> {
    let is_checked = mail.login.is_some() && !is_this_machine(&mail.host);
    let tls = TlsParameters::builder(mail.host.clone()).dangerous_accept_invalid_certs(!is_checked).build();
    let tls = tls.map_err(|error| format!("failed to set up TLS: {}", words(&error)))?;
    let (me, at_once) = (ClientId::default(), mail.port == SUBMISSIONS);
    let server = (mail.host.as_str(), mail.port);
    let open = || {
        let mut connection = SmtpConnection::connect(server, Some(TIMEOUT), &me, at_once.then_some(&tls), None)?;
        if !at_once && (is_checked || connection.can_starttls()) {
            connection.starttls(&tls, &me)?;
        }
        Ok(connection)
    };
    let mut connection = open().map_err(|error: Error| words(&error))?;
    if let Some((user, file)) = &mail.login {
        let read = std::fs::read_to_string(file);
        let password = read.map_err(|error| format!("failed to read {}: {error}", file.display()))?;
        let login = Credentials::new(user.clone(), password.trim_end_matches(['\r', '\n']).to_owned());
        connection.auth(DEFAULT_MECHANISMS, &login).map_err(|error| words(&error))?;
    }
    Ok(connection)
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an error is permanent by RFC 5321, 4.2.1. A refused login (53x, RFC 4954) is not, because somebody can correct it.
fn is_final(error: &Error) -> bool {
    let code = error.status().map(u16::from);
    error.is_permanent() && code.is_some_and(|code| !(530..540).contains(&code))
}

/// Returns an error in words, with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.contains(&error.to_string()) {
            text += &format!(": {error}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    /// Holds one conversation with a server whose answers follow from the first letters of a command. Returns the result for the message,
    /// and the commands.
    fn talk(to: &[&str], answers: &'static [(&str, &str)]) -> (Result<HandedOver, String>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            stream.get_mut().write_all(b"220 here\r\n").unwrap();
            let (mut heard, mut line) = (Vec::new(), String::new());
            while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
                let said = std::mem::take(&mut line).trim_end().to_owned();
                let found = answers.iter().find(|(begin, _)| said.starts_with(begin)).map(|(_, answer)| *answer);
                let answer = found.unwrap_or(if said == "DATA" { "354 go on" } else { "250 ok" });
                heard.push(said);
                if stream.get_mut().write_all(format!("{answer}\r\n").as_bytes()).is_err() {
                    break;
                }
                let is_data = answer.starts_with("354");
                while is_data && line != ".\r\n" {
                    line.clear();
                    stream.read_line(&mut line).unwrap();
                }
                if is_data {
                    stream.get_mut().write_all(b"250 kept\r\n").unwrap();
                    line.clear();
                }
            }
            heard
        });
        let from = "Guild <guild@example.org>".to_owned();
        let mail = MailConfig { host: "127.0.0.1".to_owned(), port, from, login: None };
        let to: Vec<Address> = to.iter().map(|to| to.parse().unwrap()).collect();
        let handed = hand_over(&mail, &"guild@example.org".parse().unwrap(), &to, b"Subject: x\r\n\r\nx\r\n");
        (handed, server.join().unwrap())
    }

    fn names(list: &[(Address, String)]) -> Vec<String> {
        list.iter().map(|(address, _)| address.to_string()).collect()
    }

    /// C15: an accepted recipient has the message at once, whatever happens to the others.
    #[test]
    fn each_recipient_is_taken_or_refused_by_itself() {
        let answers =
            &[("RCPT TO:<full@x.example>", "452 4.2.2 full"), ("RCPT TO:<gone@x.example>", "550 no such user")];
        let (handed, heard) = talk(&["ann@x.example", "full@x.example", "gone@x.example", "bob@x.example"], answers);
        let handed = handed.unwrap();
        assert!(handed.is_taken);
        assert_eq!(names(&handed.put_off), ["full@x.example"]);
        assert_eq!(names(&handed.refused), ["gone@x.example"]);
        assert_eq!(heard.iter().filter(|line| *line == "DATA").count(), 1, "{heard:?}");
        let (handed, heard) = talk(&["full@x.example", "gone@x.example"], answers);
        let handed = handed.unwrap();
        assert_eq!((handed.is_taken, names(&handed.put_off)), (false, vec!["full@x.example".to_owned()]));
        assert!(!heard.contains(&"DATA".to_owned()), "{heard:?}");
    }

    #[test]
    fn what_the_server_refuses_is_everybodys() {
        let to = ["ann@x.example", "bob@x.example"];
        assert!(talk(&to, &[("MAIL", "451 later")]).0.unwrap_err().contains("later"));
        assert!(talk(&to, &[("DATA", "452 no room")]).0.unwrap_err().contains("no room"));
        assert_eq!(talk(&to, &[("MAIL", "553 not you")]).0.unwrap().refused.len(), 2);
        let handed = talk(&to, &[("DATA", "554 no")]).0.unwrap();
        assert_eq!((handed.is_taken, handed.refused.len(), handed.put_off.len()), (false, 2, 0));
        assert!(talk(&to, &[("RCPT", "530 log in first")]).0.is_err(), "that can be mended");
    }

    #[test]
    fn only_this_machine_gets_a_password_in_the_clear() {
        assert!(["localhost", "127.0.0.1", "::1"].into_iter().all(is_this_machine));
        let others = ["mail.example.org", "localhost.example.org", "10.0.0.1"];
        assert!(others.into_iter().all(|host| !is_this_machine(host)));
    }
}
