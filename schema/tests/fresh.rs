//! The bindings are made from a compiled schema that fits the committed schema files.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without ends it")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schema_files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| Path::new(folder).join(entry.unwrap().file_name()))
        .filter(|file| file.extension().is_some_and(|e| e == "capnp"))
        .collect();
    files.sort();
    files
}

#[test]
fn digests_are_those_of_the_files() {
    let mut digests = String::new();
    for file in [schema_files("guild"), schema_files("tests")].concat() {
        let digest = Sha256::digest(std::fs::read(root().join(&file)).unwrap());
        writeln!(digests, "{}  {}", HEXLOWER.encode(&digest), file.display()).unwrap();
    }
    let committed = std::fs::read_to_string(root().join("guild.cgr.sources")).unwrap();
    assert_eq!(committed, digests, "run schema/regenerate");
}

#[test]
fn requests_are_what_the_compiler_makes() {
    for (folder, request) in [("guild", "guild.cgr"), ("tests", "tests/echo.cgr")] {
        let files = schema_files(folder);
        let names = files.iter().map(|file| file.file_name().unwrap());
        let output = Command::new("capnp")
            .args(["compile", "--no-standard-import", "-o-"])
            .args(names)
            .current_dir(root().join(folder))
            .output();
        let Ok(output) = output else {
            println!("skipped: the program `capnp` is not installed");
            return;
        };
        let made = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{folder}: {made}");
        let committed = std::fs::read(root().join(request)).unwrap();
        assert!(
            without_version(&committed) == without_version(&output.stdout),
            "{request} is stale: run schema/regenerate"
        );
    }
}

/// Returns the compiled schema without the version of the compiler, which is the only difference between two compilers.
fn without_version(request: &[u8]) -> Vec<u8> {
    use capnp::schema_capnp::code_generator_request;
    let mut reader = request;
    let options = *capnp::message::ReaderOptions::new().traversal_limit_in_words(None);
    let message = capnp::serialize::read_message(&mut reader, options).unwrap();
    let request: code_generator_request::Reader<'_> = message.get_root().unwrap();
    let mut copy = capnp::message::Builder::new_default();
    let mut target = copy.init_root::<code_generator_request::Builder<'_>>();
    target.set_nodes(request.get_nodes().unwrap()).unwrap();
    target.set_source_info(request.get_source_info().unwrap()).unwrap();
    let files = request.get_requested_files().unwrap();
    target.set_requested_files(files).unwrap();
    capnp::serialize::write_message_to_words(&copy)
}
