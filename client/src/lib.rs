//! The client library of Guild: everything that the holder of a credential can do, as typed calls that survive a lost
//! link. It prints nothing; the command `guild` uses it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use client::context::Contexts;
//! use client::{BuildQuery, Guild};
//!
//! // The credential that `guild login` stored, and the key to which it is bound.
//! let context = Contexts::of_user()?.choose(None, None, &std::env::current_dir()?)?;
//! let (credential, identity) = context.open()?;
//! let guild = Guild::connect(credential, identity).await?;
//! for build in guild.builds(&BuildQuery { limit: 10, ..BuildQuery::default() }).await? {
//!     println!("{} {:?}", build.selector(), build.outcome);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/follow.rs` is a whole program, which follows the newest build of a project.
//!
//! Everything lives on one thread, within a `tokio::task::LocalSet`. The modules, in the order in which a program needs them:
//! - [`context`]: the credential for a repository; [`login()`]: how to store one;
//! - [`Guild`]: the reconnecting client and its calls, which return [`views`] and an [`Explanation`];
//! - [`logs`]: one log, by offset; [`screen`]: its bytes on a terminal;
//! - [`Watch`] and [`Events`]: subscriptions; [`Mirror`]: the builds as the events change them; [`Follow`]: one build live;
//! - [`words`] and [`cells`]: how a page or a terminal writes these values;
//! - [`link`] and [`dial`]: for a program with connections of its own.
//!
//! Times, outcomes, filters, cursors and events are values of the crate [`schema`], which this crate exports again.

#![warn(missing_docs)]

mod backoff;
mod blame;
pub mod cells;
pub mod context;
pub mod dial;
mod error;
pub mod explanation;
mod follow;
mod guild;
mod lines;
pub mod link;
mod login;
pub mod logs;
mod look;
mod mirror;
mod operate;
pub mod painted;
pub mod reports;
pub mod screen;
mod steer;
pub mod summary;
mod test_history;
mod tries;
mod usual;
pub mod views;
mod watch;
mod wire;
pub mod words;

/// The function of this crate that `tests/fuzz` calls.
#[cfg(feature = "fuzz")]
pub mod fuzz {
    pub use crate::wire::read_as_any_view;
}

pub use blame::SuspectQuery;
pub use error::Error;
pub use explanation::Explanation;
pub use follow::{Follow, Progress};
pub use guild::{Dial, Guild, LinkNews};
pub use login::login;
pub use logs::{LogAddress, Tail, Until};
pub use look::BuildQuery;
pub use mirror::Mirror;
pub use operate::{HookView, Issued, NewGrant};
pub use schema;
pub use steer::Again;
pub use summary::Summary;
pub use test_history::{TestQuery, TestsPage};
pub use tries::{Tried, Try};
pub use usual::UsualTimes;
pub use watch::{Events, News, Told, Watch};
