//! `guild init` writes a first guild.toml, which it guesses from the files of the repository. It needs no master.

use crate::connected::Connected;
use clap::Args;
use client::Error;
use std::io::Write as _;

#[derive(Args)]
pub(crate) struct Init {}

impl Init {
    pub(crate) fn run(self, connected: &Connected) -> Result<u8, Error> {
        let top = match connected.copy() {
            Some(copy) => copy.toplevel.clone(),
            None => std::env::current_dir().map_err(|error| Error::file(".", error))?,
        };
        let file = top.join("guild.toml");
        let Some(inferred) = pipeline::infer(&top) else {
            let text = format!("{}: no file here tells how to build the project", top.display());
            return Err(Error::usage(text).help("write a guild.toml by hand: docs/pipeline.md has examples"));
        };
        let open = std::fs::File::options().write(true).create_new(true).open(&file);
        let mut written = open.map_err(|error| match error.kind() == std::io::ErrorKind::AlreadyExists {
            true => Error::usage(format!("{} already exists, and was not changed", file.display()))
                .help("run `guild check` to see whether it has errors"),
            false => Error::file(&file, error),
        })?;
        written.write_all(inferred.text.as_bytes()).map_err(|error| Error::file(&file, error))?;
        connected.printer.note(format!("found {}; wrote {}", inferred.saw, file.display()));
        connected.printer.note("next: read it, commit it, and run guild-master up to build");
        Ok(0)
    }
}
