//! The channels of notices, and the one place that opens one. Each channel has a file of its own in this folder, and its keys in
//! `config/channel.rs`. A channel knows nothing about lanes, and its users know nothing about its way of sending.

mod command;
mod echo;
mod http;
mod mail;
mod own_thread;
mod smtp;
mod test_mail;
mod webhook;

pub use test_mail::send_test_mail;

use super::ReporterAccess;
use super::notice::Notice;
use crate::config::Means;
use crate::keep::health::DeliveryHealth;
use command::CommandChannel;
use futures::future::LocalBoxFuture;
use mail::MailChannel;
use std::rc::Rc;
use std::time::Duration;
use webhook::WebhookChannel;

/// A `Channel` sends the notices of one `[[notice]]`.
pub(super) trait Channel {
    /// Makes the parcel for a notice. `None` means that nobody is to get this notice.
    fn pack<'a>(&'a self, notice: &Notice) -> Result<Option<Box<dyn Parcel + 'a>>, String>;
}

/// A `Parcel` is a notice on its way by one channel.
pub(super) trait Parcel {
    /// Tries once to deliver. Dropping the future ends the try. As long as this fails, the caller tries again after a pause.
    fn hand_over(&mut self) -> LocalBoxFuture<'_, Result<Handed, PutOff>>;
}

/// A `Handed` notice counts as reported.
pub(super) enum Handed {
    Whole,
    /// Some receivers do not have the notice yet. This future goes on until they do, and nothing else waits for it.
    Partly(LocalBoxFuture<'static, ()>),
}

/// The reason why a notice could not be delivered now.
pub(super) struct PutOff {
    pub(super) why: String,
    /// The time for which the notice is tried before it is given up. `None` means that it is tried until it succeeds.
    pub(super) tried_for: Option<Duration>,
}

impl PutOff {
    /// Makes the failure of the channel itself. Notices to all receivers wait and are tried until it works again.
    pub(super) fn of_the_way(why: String) -> PutOff {
        PutOff { why, tried_for: None }
    }
}

/// Opens the channel of a `[[notice]]`.
pub(super) fn open(by: &Means, access: &ReporterAccess, health: &Rc<DeliveryHealth>) -> Box<dyn Channel> {
    match by {
        Means::Command(argv) => Box::new(CommandChannel { argv: argv.clone(), dir: access.state.clone() }),
        Means::Mail(to) => Box::new(MailChannel::new(access.mail.clone(), to.clone(), health.clone(), access.clock)),
        Means::Webhook(config) => Box::new(WebhookChannel::new(config)),
    }
}
