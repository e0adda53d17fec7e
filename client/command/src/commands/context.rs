//! `guild context` lists the credentials that are stored here, and says which one is used.

use crate::connected::Connected;
use clap::{Args, Subcommand};
use client::Error;
use client::context::{Context, Contexts};
use schema::sturdy_ref::SturdyRef;
use serde_json::{Value, json};

const COLUMNS: [&str; 4] = ["name", "status", "master", "repository"];

#[derive(Subcommand)]
pub(crate) enum ContextCommand {
    /// List all contexts, and show which one is used here
    List,
    /// Use this context if no other one applies
    Use(ContextUse),
}

#[derive(Args)]
pub(crate) struct ContextUse {
    /// A name that `guild context list` shows
    name: String,
}

impl ContextCommand {
    pub(crate) fn run(self, connected: &Connected) -> Result<u8, Error> {
        let contexts = Contexts::of_user()?;
        match self {
            ContextCommand::List => {
                let used = connected.context().ok().map(|context| context.name);
                let all: Vec<Context> = contexts.names().iter().filter_map(|name| contexts.load(name).ok()).collect();
                let rows: Vec<Value> = all.iter().map(|context| row(&contexts, context, used.as_deref())).collect();
                connected.printer.say_rows(&rows, &COLUMNS)?;
                if rows.is_empty() {
                    connected.printer.note("there is no context yet: `guild login FILE` makes one");
                }
            }
            ContextCommand::Use(named) => {
                contexts.load(&named.name)?;
                contexts.set_current(&named.name)?;
                connected.printer.say(format!("context {} is used if no other one applies", named.name))?;
            }
        }
        Ok(0)
    }
}

/// Returns a row of the list. A context of `guild-master up` counts only while that program runs, and only in its repository.
fn row(contexts: &Contexts, context: &Context, used: Option<&str>) -> Value {
    let status = match (used == Some(&context.name), contexts.has_ended(context), &context.repository) {
        (true, _, _) => "used here",
        (false, true, _) => "ended",
        (false, false, Some(_)) => "used in its repository",
        (false, false, None) => "",
    };
    let master =
        SturdyRef::load(&context.credential).map_or_else(|error| error.to_string(), |it| it.addresses.join(","));
    json!({
        "name": context.name,
        "status": status,
        "master": master,
        "repository": context.repository,
        "credential": context.credential,
    })
}
