//! Guild's public API: the Cap'n Proto interfaces with their bindings, and what every program that speaks it
//! shares. Depends on nothing else of ours, save `system` for the files of credentials.
//!
//! The manual is `schema/guild/*.capnp`. Here:
//! - [`sturdy_ref`]: the textual form of a credential;
//! - [`identity`]: who a process is;
//! - [`vat`]: one governed way to serve or connect over any byte stream;
//! - [`gate`]: the revocable membrane through which every object leaves;
//! - [`limits`]: the bound of everything that crosses a border, and the readers that keep it;
//! - [`values`]: plain structs that two or more crates share, and [`wire`]: their translation;
//! - [`shown`]: what people are shown of texts that others wrote;
//! - [`manual`]: completions and manual pages of a program.
//!
//! The crates beside it are not part of it: `system` (what a process needs of its host) and `toml_file` (a file that
//! people write). The others are `pipeline` (`guild.toml` to a plan or diagnostics), `reports` (the list of a step's tests) and
//! `snapshot` (a checkout as a commit).

#![warn(missing_docs)]

pub mod gate;
pub mod identity;
pub mod limits;
#[cfg(feature = "manual")]
pub mod manual;
pub mod shown;
pub mod sturdy_ref;
pub mod values;
pub mod vat;
pub mod wire;

macro_rules! bindings {
    ($($name:ident)*) => {$(
        #[doc = concat!("The bindings of one file of the schema, generated for the module `", stringify!($name), "`.")]
        // `allow`, not `expect`: which lints the generated code meets differs from file to file
        #[allow(
            missing_docs,
            clippy::all,
            clippy::unwrap_used,
            clippy::wildcard_enum_match_arm,
            clippy::allow_attributes,
            reason = "generated"
        )]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    )*};
}

bindings! {
    common_capnp change_capnp plan_capnp log_capnp worker_capnp event_capnp grant_capnp
    perspective_capnp gateway_capnp
}
