//! The channels of notices, and the one place that opens one. Each channel has a file of its own below this one, and its keys in
//! `config/channel.rs`. A channel knows nothing of lanes, and its users know nothing of its way of sending.

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

/// A way to tell notices. One channel serves one `[[notice]]`.
pub(super) trait Channel {
    /// Makes what is handed over. `None` means that nobody is to have this notice.
    fn pack<'a>(&'a self, notice: &Notice) -> Result<Option<Box<dyn Parcel + 'a>>, String>;
}

/// A notice on its way by one channel.
pub(super) trait Parcel {
    /// Tries once to hand it over. Dropping the answer ends the try. The teller calls again after a pause as long as this fails.
    fn hand_over(&mut self) -> LocalBoxFuture<'_, Result<Handed, PutOff>>;
}

/// A notice that counts as told.
pub(super) enum Handed {
    Whole,
    /// Some of its receivers are still to have it: this goes on until they do, and holds up nothing else.
    Partly(LocalBoxFuture<'static, ()>),
}

/// Why a notice could not be handed over now.
pub(super) struct PutOff {
    pub(super) why: String,
    /// How long the notice is tried before it is given up. `None` means for as long as it takes.
    pub(super) tried_for: Option<Duration>,
}

impl PutOff {
    /// The way fails, for everybody: what waits is tried until it is mended.
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
