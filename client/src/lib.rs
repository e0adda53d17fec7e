//! The client library of Guild: everything that a holder of a credential can do, as typed calls that survive a lost
//! link. It prints nothing; the command `guild` is written on it.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::Error> {
//! use client::{BuildQuery, Guild};
//! use schema::identity::Identity;
//! use schema::sturdy_ref::SturdyRef;
//! use std::path::Path;
//!
//! // what `guild login` stored; the key that the credential is bound to
//! let credential = SturdyRef::load(Path::new("me.cap")).expect("a credential");
//! let identity = Identity::load_or_create(Path::new("identity.key")).expect("a key");
//! let guild = Guild::connect(credential, identity.into()).await?;
//! for build in guild.builds(&BuildQuery { limit: 10, ..BuildQuery::default() }).await? {
//!     println!("{} {:?}", build.selector(), build.outcome);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Everything lives on one thread, inside a `tokio::task::LocalSet`. In the order of the main path:
//! - [`context`]: which credential, for which repository; [`dial`] and [`login`]: from a credential to a link;
//! - [`guild`]: the reconnecting client; its calls are in [`look`], [`steer`] and [`operate`], what they show in [`views`]
//!   and [`explanation`];
//! - [`logs`]: one log, by offset; [`screen`]: its bytes on a terminal; [`watch`]: subscriptions; [`mirror`]: what they carry on; [`follow`]: a build live.

pub mod backoff;
pub mod cells;
pub mod context;
pub mod dial;
pub mod error;
pub mod explanation;
pub mod follow;
pub mod guild;
pub mod lines;
pub mod link;
pub mod login;
pub mod logs;
pub mod look;
pub mod mirror;
pub mod operate;
pub mod screen;
pub mod steer;
pub mod views;
pub mod watch;
mod wire;
pub mod words;

pub use error::Error;
pub use explanation::Explanation;
pub use follow::{Follow, follow_build};
pub use guild::{Guild, LinkNews};
pub use logs::{LogAddress, Tail, Until};
pub use look::BuildQuery;
pub use mirror::Mirror;
pub use operate::{Issued, NewGrant};
pub use steer::Again;
pub use watch::{Events, News, Told, Watch};
