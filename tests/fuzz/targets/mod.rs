//! Each reader of hostile bytes as one plain function, which panics if the reader breaks a promise. Three drivers call these
//! functions: libFuzzer (`../run.rs`), the replay of the corpora as plain tests (`../replay.rs`), and the check that a planted fault
//! is found (`../planted`).

mod account;
mod client;
mod git_answers;
mod hook;
mod ledger;
mod line_index;
mod log_render;
mod messages;
mod pieces;
mod played;
#[expect(dead_code, reason = "shared with the tests of another package")]
#[path = "../../../schema/tests/common/raw.rs"]
pub mod raw;
mod ref_name;
mod server;
mod sturdy_ref;
mod test_reports;
mod toml_files;
mod wire;

/// `Target` reads some bytes, and panics if a promise is broken.
pub type Target = fn(&[u8]);

/// The targets by their names. The directory of a corpus has the same name.
pub const TARGETS: [(&str, Target); 19] = [
    ("account", account::target),
    ("client", client::target),
    ("git", git_answers::target),
    ("guild_toml", toml_files::guild_toml),
    ("hook", hook::target),
    ("ledger", ledger::target),
    ("line_index", line_index::target),
    ("log_render", log_render::target),
    ("log_terminal", log_render::terminal),
    ("master_toml", toml_files::master_toml),
    ("ref_name", ref_name::target),
    ("report_junit", test_reports::junit),
    ("report_libtest", test_reports::libtest),
    ("report_subunit", test_reports::subunit),
    ("report_tap", test_reports::tap),
    ("server", server::target),
    ("sturdy_ref", sturdy_ref::target),
    ("test_list", test_reports::list),
    ("wire", wire::target),
];
