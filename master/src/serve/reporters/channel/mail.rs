//! Sends notices by mail: chooses the recipients, writes the text, and delivers until each recipient has it. Knows nothing about lanes.

use super::own_thread::on_own_thread;
use super::smtp;
use super::{Channel, Handed, Parcel, PutOff};
use crate::config::clock::Clock;
use crate::config::{MailConfig, Recipient};
use crate::keep::health::DeliveryHealth;
use crate::serve::reporters::notice::{Author, Notice};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use schema::values::Time;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// How long a letter to a mailbox that temporarily refuses mail is tried. RFC 5321, 4.5.4.1, tells mail servers to try four or five days.
const GIVE_UP: Duration = Duration::from_secs(5 * 24 * 3600);
/// The first and the longest pause between tries of a mailbox that temporarily refuses mail. Each pause doubles the last one. A
/// greylist accepts mail after minutes, and a full mailbox is emptied after hours.
const TARDY_PAUSE_MIN: Duration = Duration::from_secs(30);
const TARDY_PAUSE_MAX: Duration = Duration::from_secs(30 * 60);

/// The most letters of one channel that still have to reach some recipients. More would mean that a mail server refuses nearly everything.
const TARDY_MAX: usize = 1_000;

/// The most addresses of one message. RFC 5321 requires servers to accept 100.
const RECIPIENTS_MAX: usize = 100;

/// A `MailChannel` sends notices to its recipients through a mail server.
pub(super) struct MailChannel {
    /// The mail server. The reader of the master file requires one if a notice goes by mail.
    mail: Option<MailConfig>,
    to: Vec<Recipient>,
    health: Rc<DeliveryHealth>,
    clock: Clock,
    /// Its references count the letters that have not yet reached some of their recipients.
    tardy: Rc<()>,
}

impl MailChannel {
    pub(super) fn new(
        mail: Option<MailConfig>,
        to: Vec<Recipient>,
        health: Rc<DeliveryHealth>,
        clock: Clock,
    ) -> MailChannel {
        MailChannel { mail, to, health, clock, tardy: Rc::new(()) }
    }

    /// Returns a future that tries until each of the remaining recipients has the letter.
    fn try_the_others(&self, letter: Letter, mail: &MailConfig) -> Handed {
        if Rc::strong_count(&self.tardy) > TARDY_MAX {
            letter.give_up(&self.health, self.clock.now(), "too many mails wait");
            return Handed::Whole;
        }
        let (one_more, clock) = (self.tardy.clone(), self.clock);
        let tardy = Tardy { letter, mail: mail.clone(), health: self.health.clone(), clock };
        Handed::Partly(tardy.deliver().map(move |()| drop(one_more)).boxed_local())
    }
}

impl Channel for MailChannel {
    fn pack<'a>(&'a self, notice: &Notice) -> Result<Option<Box<dyn Parcel + 'a>>, String> {
        let Some(mail) = &self.mail else { return Ok(None) };
        let letter = Letter::write(mail, &self.to, notice, self.clock.now())?;
        Ok(letter.map(|letter| Box::new(MailParcel { channel: self, mail, letter }) as Box<dyn Parcel>))
    }
}

struct MailParcel<'a> {
    channel: &'a MailChannel,
    mail: &'a MailConfig,
    letter: Letter,
}

impl Parcel for MailParcel<'_> {
    fn hand_over(&mut self) -> LocalBoxFuture<'_, Result<Handed, PutOff>> {
        async move {
            match self.letter.hand_over(self.mail).await.map_err(PutOff::of_the_way)? {
                Delivery::All => Ok(Handed::Whole),
                Delivery::Some(left) => Ok(self.channel.try_the_others(left, self.mail)),
                Delivery::None(why) => Err(PutOff { why, tried_for: Some(GIVE_UP) }),
            }
        }
        .boxed_local()
    }
}

/// A `Letter` is a message with the recipients that do not have it yet.
#[derive(Clone, Debug)]
struct Letter {
    message: Vec<u8>,
    subject: String,
    from: Address,
    /// The recipients who do not have the letter yet.
    to: Vec<Address>,
}

/// The result of a delivery.
#[derive(Debug)]
enum Delivery {
    /// Each recipient has the letter, or will never get it.
    All,
    /// Some recipients do not have the letter yet.
    Some(Letter),
    /// No mailbox accepts the letter for a while, for this reason.
    None(String),
}

impl Letter {
    /// Writes the letter of a notice, dated `now`. `None` means that it has no recipients.
    fn write(mail: &MailConfig, to: &[Recipient], notice: &Notice, now: Time) -> Result<Option<Letter>, String> {
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
            // this keeps automatic replies away (RFC 3834)
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for mailbox in mailboxes {
            message = message.to(mailbox);
        }
        if let Some(failure) = notice.fixes.as_ref().or(notice.reminds.as_ref()) {
            message = message.in_reply_to(message_id(failure)).references(message_id(failure));
        }
        let text = schema::shown::page(&notice.text()).into_owned();
        let message = message.body(text).map_err(|error| format!("failed to write the message: {error}"))?;
        let message = message.formatted();
        Ok(Some(Letter { message, subject: notice.subject(), from: from.email, to: addresses }))
    }

    /// Delivers the letter once. An error means that the server took it for nobody. `to` keeps the recipients that are left.
    async fn hand_over(&mut self, mail: &MailConfig) -> Result<Delivery, String> {
        let (letter, mail) = (self.clone(), mail.clone());
        let work = move || smtp::hand_over(&mail, &letter.from, &letter.to, &letter.message);
        Ok(self.note(on_own_thread("mail", work).await??))
    }

    fn note(&mut self, handed: smtp::HandedOver) -> Delivery {
        for (address, why) in &handed.refused {
            tracing::warn!("the mail server refuses a notice to {address} for good: {why}");
        }
        let left: Vec<Address> = handed.put_off.iter().map(|(address, _)| address.clone()).collect();
        self.to = left;
        let Some((address, why)) = handed.put_off.first() else { return Delivery::All };
        let why = format!("{address} refuses mail for a while: {why}");
        match handed.is_taken {
            false => Delivery::None(why),
            true => {
                tracing::warn!("a notice has not yet reached {} of its recipients: {why}", self.to.len());
                Delivery::Some(self.clone())
            }
        }
    }

    fn give_up(&self, health: &DeliveryHealth, now: Time, why: &str) {
        let to: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        let text = format!("{} did not get \"{}\": {why}", to.join(", "), self.subject);
        tracing::warn!("a notice is given up: {text}");
        health.gives_up(now, text);
    }
}

/// A `Tardy` letter reached only some of its recipients. The others are tried for some days. A master that restarts meanwhile forgets
/// them, because a second mail to those who have the letter would be worse.
struct Tardy {
    letter: Letter,
    mail: MailConfig,
    health: Rc<DeliveryHealth>,
    clock: Clock,
}

impl Tardy {
    /// Tries until each recipient has the letter, or will never get it.
    async fn deliver(mut self) {
        let (began, of) = (self.clock.now(), self.letter.to.first().map(ToString::to_string).unwrap_or_default());
        self.health.fails(&of, began, "the mailbox refuses mail for a while");
        let mut pause = TARDY_PAUSE_MIN;
        loop {
            tokio::time::sleep(pause).await;
            let now = self.clock.now();
            let why = match self.letter.hand_over(&self.mail).await {
                Ok(Delivery::All) => break,
                Ok(Delivery::Some(_)) => "a mailbox refuses mail for a while".to_owned(),
                Ok(Delivery::None(why)) | Err(why) => why,
            };
            if now.since(began) >= GIVE_UP {
                self.letter.give_up(&self.health, now, &why);
                break;
            }
            self.health.fails(&of, now, &why);
            pause = (2 * pause).min(TARDY_PAUSE_MAX);
        }
        self.health.is_well(&of);
    }
}

/// Returns the recipients, each address once. An author's address that does not parse is left out, because a commit can claim any author.
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
        tracing::warn!("a notice goes to only {RECIPIENTS_MAX} of its {} addresses", found.len());
        found.truncate(RECIPIENTS_MAX);
    }
    found
}

fn mailbox(author: &Author) -> Option<Mailbox> {
    // an address beyond ASCII would need an extension that many servers do not have
    match author.email.parse::<Address>().ok().filter(|_| author.email.is_ascii()) {
        Some(address) => Some(Mailbox::new(Some(one_line(&author.name)).filter(|name| !name.is_empty()), address)),
        None => {
            tracing::warn!(
                "no notice goes to the author address {:?}: it is not a mail address in ASCII",
                author.email
            );
            None
        }
    }
}

fn one_line(text: &str) -> String {
    schema::shown::line(text).trim().to_owned()
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
