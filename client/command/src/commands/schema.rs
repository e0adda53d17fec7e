//! `guild schema` prints the JSON Schema of guild.toml for an editor. It is made from the reference of its keys.

use crate::output::Shown;
use crate::printer::Printer;
use clap::Args;
use client::Error;
use pipeline::keys::GUILD_TOML;
use toml_file::json_schema;

#[derive(Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self, printer: &Printer) -> Result<u8, Error> {
        let text = serde_json::to_string_pretty(&json_schema(&GUILD_TOML)).unwrap_or_default();
        printer.say(Shown::lines(&text))?;
        Ok(0)
    }
}
