//! Guild's public API: the Cap'n Proto interfaces with their bindings, and the code that every program which speaks them
//! shares. The only other crate of ours that it depends on is `system`, for the files of credentials.
//!
//! The manual is `schema/guild/*.capnp`. The modules are:
//! - [`sturdy_ref`]: the textual form of a credential;
//! - [`identity`]: the key and the certificate of a process;
//! - [`vat`]: one governed way to serve or connect over any byte stream;
//! - [`gate`]: the revocable membrane through which every object leaves;
//! - [`limits`]: the bound of everything that crosses a border, and the readers that enforce it;
//! - [`values`]: plain structs that two or more crates share, and [`wire`]: their translation;
//! - [`shown`]: how texts that others wrote are made safe to show to people;
//! - [`manual`]: completions and manual pages of a program.
//!
//! The crates in the same folder are not part of the API. They are `system` (what a process needs of its host) and `toml_file` (a
//! file that people write). The others are `pipeline` (`guild.toml` to a plan or diagnostics), `reports` (the list of a step's
//! tests) and `snapshot` (a checkout as a commit).

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
        // `allow`, not `expect`: the lints that the generated code breaks differ from file to file
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
