//! Notices as mail: who gets one, what it looks like, and handing it to the server. Knows nothing of lanes.

use super::notice::{Author, Notice};
use crate::config::{MailConfig, Recipient};
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::{self, SmtpTransport};
use lettre::{Address, Transport as _};
use schema::values::Time;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// For each answer of the server.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Where TLS comes first (RFC 8314).
const SUBMISSIONS: u16 = 465;
/// The most addresses of one message; RFC 5321 has servers take 100.
const RECIPIENTS_MAX: usize = 100;

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    message: Vec<u8>,
    from: Address,
    /// Who does not have it yet.
    to: Vec<Address>,
}

/// What became of handing it over.
enum Handed {
    Over,
    /// The server will never take it for these: why.
    Refused(String),
    /// It may be better later: why.
    Failed(String),
}

impl Letter {
    /// None: nobody is to have it. `now`: its date.
    pub(super) fn write(
        mail: &MailConfig,
        to: &[Recipient],
        notice: &Notice,
        now: Time,
    ) -> Result<Option<Letter>, String> {
        let from: Mailbox = mail.from.parse().map_err(|error| format!("`{}`: {error}", mail.from))?;
        let mailboxes = mailboxes(to, &notice.authors);
        let addresses: Vec<Address> = mailboxes.iter().map(|mailbox| mailbox.email.clone()).collect();
        if addresses.is_empty() {
            return Ok(None);
        }
        let message_id = |id: &str| format!("<{id}@{}>", from.email.domain());
        let mut message = Message::builder()
            .from(from.clone())
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(now.0))
            .message_id(Some(message_id(&notice.id)))
            .subject(one_line(&notice.subject()))
            // nobody's absence shall answer (RFC 3834)
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for mailbox in mailboxes {
            message = message.to(mailbox);
        }
        if let Some(failure) = &notice.fixes {
            message = message.in_reply_to(message_id(failure)).references(message_id(failure));
        }
        let message = message.body(notice.text()).map_err(|error| format!("failed to write the message: {error}"))?;
        Ok(Some(Letter { message: message.formatted(), from: from.email, to: addresses }))
    }

    /// Hands it over; what could not be done now is in the error, and this knows what is left. On a thread of its own: a runtime
    /// waits for its blocking threads when it ends, and a server that hangs shall not hold up the end of the master.
    pub(super) async fn hand_over(&mut self, mail: &MailConfig) -> Result<(), String> {
        let (mut letter, mail) = (self.clone(), mail.clone());
        let (done, handed) = tokio::sync::oneshot::channel();
        let work = move || drop(done.send((letter.hand_over_now(&mail), letter)));
        let thread = std::thread::Builder::new().name("mail".to_owned()).spawn(work);
        thread.map_err(|error| format!("failed to make a thread: {error}"))?;
        let (result, left) = handed.await.map_err(|_| "the thread ended early".to_owned())?;
        *self = left;
        result
    }

    fn hand_over_now(&mut self, mail: &MailConfig) -> Result<(), String> {
        let transport = transport(mail)?;
        match self.hand(&transport, self.to.clone()) {
            Handed::Over => self.to.clear(),
            Handed::Failed(why) => return Err(why),
            // one address that the server does not take shall not keep it from the others
            Handed::Refused(_) => self.hand_one_by_one(&transport)?,
        }
        Ok(())
    }

    fn hand_one_by_one(&mut self, transport: &SmtpTransport) -> Result<(), String> {
        while let Some(address) = self.to.last().cloned() {
            match self.hand(transport, vec![address.clone()]) {
                Handed::Over => {}
                Handed::Refused(why) => tracing::warn!("the mail server refuses a notice to {address} for good: {why}"),
                Handed::Failed(why) => return Err(why),
            }
            self.to.pop();
        }
        Ok(())
    }

    fn hand(&self, transport: &SmtpTransport, to: Vec<Address>) -> Handed {
        let envelope = match Envelope::new(Some(self.from.clone()), to) {
            Ok(envelope) => envelope,
            Err(error) => return Handed::Refused(error.to_string()),
        };
        match transport.send_raw(&envelope, &self.message) {
            Ok(_) => Handed::Over,
            Err(error) if is_final(&error) => Handed::Refused(words(&error)),
            Err(error) => Handed::Failed(words(&error)),
        }
    }
}

/// Each address once. An author's that is none is left out: anybody can commit anything.
fn mailboxes(to: &[Recipient], authors: &[Author]) -> Vec<Mailbox> {
    let mut found = Vec::new();
    for recipient in to {
        match recipient {
            Recipient::Address(text) => found.extend(text.parse().map(|address| Mailbox::new(None, address)).ok()),
            Recipient::Blame => found.extend(authors.iter().filter_map(mailbox)),
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|mailbox| seen.insert(mailbox.email.to_string().to_lowercase()));
    if found.len() > RECIPIENTS_MAX {
        tracing::warn!("a notice goes to {RECIPIENTS_MAX} of {} addresses", found.len());
        found.truncate(RECIPIENTS_MAX);
    }
    found
}

fn mailbox(author: &Author) -> Option<Mailbox> {
    // beyond ASCII the server would need an extension that many have not
    match author.email.parse::<Address>().ok().filter(|_| author.email.is_ascii()) {
        Some(address) => Some(Mailbox::new(Some(one_line(&author.name)).filter(|name| !name.is_empty()), address)),
        None => {
            tracing::warn!("an author's address is none, and gets no notice: {:?}", author.email);
            None
        }
    }
}

fn one_line(text: &str) -> String {
    client::words::harmless(text).trim().to_owned()
}

/// Without a login, TLS where it is offered, with whatever certificate: as mail servers do among each other. A password only goes
/// to a server that proved who it is, or to this machine.
fn transport(mail: &MailConfig) -> Result<SmtpTransport, String> {
    let tls = |is_checked: bool| {
        let parameters = TlsParameters::builder(mail.host.clone()).dangerous_accept_invalid_certs(!is_checked);
        parameters.build().map_err(|error| format!("failed to set up TLS: {}", words(&error)))
    };
    let checked = mail.login.is_some() && !is_this_machine(&mail.host);
    let tls = match (mail.port, checked) {
        (SUBMISSIONS, _) => Tls::Wrapper(tls(checked)?),
        (_, true) => Tls::Required(tls(true)?),
        (_, false) => Tls::Opportunistic(tls(false)?),
    };
    let mut builder =
        SmtpTransport::builder_dangerous(mail.host.clone()).port(mail.port).tls(tls).timeout(Some(TIMEOUT));
    if let Some((user, file)) = &mail.login {
        let read = std::fs::read_to_string(file);
        let password = read.map_err(|error| format!("failed to read {}: {error}", file.display()))?;
        builder =
            builder.credentials(Credentials::new(user.clone(), password.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(builder.build())
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// "Permanent" by RFC 5321, 4.2.1; but what is wrong with the login (53x, RFC 4954) can be mended.
fn is_final(error: &smtp::Error) -> bool {
    let code = error.status().map(u16::from);
    error.is_permanent() && code.is_some_and(|code| !(530..540).contains(&code))
}

/// With its causes.
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
#[path = "mail_tests.rs"]
mod tests;
