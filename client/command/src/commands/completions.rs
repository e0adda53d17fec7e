//! `guild completions` and `guild man`, which print texts made from the declared arguments of the command.

use crate::output::Shown;
use crate::printer::Printer;
use clap::Args;
use client::Error;
use schema::manual::{self, Shell};
use std::path::PathBuf;

/// The manual section for the pages of `guild`. It is a section of its own, because the page of the command `guild worker` has the same
/// name as the page of the program `guild-worker`.
const SECTION: &str = "1guild";

#[derive(Args)]
pub(crate) struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args)]
pub(crate) struct Man {
    /// Write all pages into this directory [default: only the page of `guild`, to standard output]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Completions {
    pub(crate) fn run(self, printer: &Printer, declared: clap::Command) -> Result<u8, Error> {
        printer.say_whole(&Shown::document(&manual::completions(declared, self.shell)))?;
        Ok(0)
    }
}

impl Man {
    pub(crate) fn run(self, printer: &Printer, declared: clap::Command) -> Result<u8, Error> {
        match self.output {
            None => {
                let page = manual::page(declared, SECTION).map_err(Error::Output)?;
                printer.say_whole(&Shown::document(&page))?;
            }
            Some(dir) => {
                let count = manual::write_all(declared, SECTION, &dir).map_err(|error| Error::file(&dir, error))?;
                printer.note(format!("{count} pages in {}", dir.display()));
            }
        }
        Ok(0)
    }
}
