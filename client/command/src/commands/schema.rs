//! `guild schema`: what an editor is told of guild.toml, made from the reference of its keys.

use crate::connected::Connected;
use crate::output::Shown;
use clap::Args;
use client::Error;
use schema::pipeline::keys::GUILD_TOML;
use schema::toml_file::json_schema;

#[derive(Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self, connected: &Connected) -> Result<u8, Error> {
        let text = serde_json::to_string_pretty(&json_schema(&GUILD_TOML)).unwrap_or_default();
        connected.say(Shown::lines(&text))?;
        Ok(0)
    }
}
