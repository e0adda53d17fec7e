//! `guild init`: writes a guild.toml to begin with, from what the repository is. Needs no master.

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
            let text = format!("{}: nothing here tells how to build it", top.display());
            return Err(Error::usage(text).help("write a guild.toml by hand: docs/pipeline.md has examples"));
        };
        let open = std::fs::File::options().write(true).create_new(true).open(&file);
        let mut written = open.map_err(|error| match error.kind() == std::io::ErrorKind::AlreadyExists {
            true => Error::usage(format!("{} exists; it stays as it is", file.display()))
                .help("`guild check` says whether it is in order"),
            false => Error::file(&file, error),
        })?;
        written.write_all(inferred.text.as_bytes()).map_err(|error| Error::file(&file, error))?;
        connected.printer.note(format!("saw {}; wrote {}", inferred.saw, file.display()));
        connected.printer.note("next: look at it, commit it, and build: guild-master up");
        Ok(0)
    }
}
