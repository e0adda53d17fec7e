//! The commands `guild login`, `guild logout` and `guild whoami`: they store a credential, forget it, and show what it allows.

use crate::connected::Connected;
use clap::Args;
use client::Error;
use client::context::Contexts;
use schema::sturdy_ref::SturdyRef;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The limit for a credential's file, in bytes. A credential is far shorter, so a longer file is something else.
const CREDENTIAL_BYTES_MAX: u64 = 64 * 1024;

#[derive(Args)]
pub(crate) struct Login {
    /// The credential file that `guild grant issue` wrote; `-` reads it from standard input
    file: PathBuf,
    /// The name for the context [default: the file's name without `.cap`]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Args)]
pub(crate) struct Logout {
    /// The name of the context to forget [default: the one in use]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Args)]
pub(crate) struct Whoami {}

impl Login {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let name = self.name.clone().unwrap_or_else(|| default_name(&self.file));
        client::context::check_name(&name)?;
        let reference = read_reference(&self.file)?;
        let before = Contexts::of_user()?.current();
        let context = client::login(&Contexts::of_user()?, &name, &reference).await?;
        let (credential, identity) = context.open()?;
        let who = client::Guild::connect(credential, identity).await?.whoami().await?;
        let (master, grant) = (&who.master, &who.grant);
        connected.printer.say(format!("logged in to {master} as {} ({}), context {name}", grant.name, grant.kind))?;
        if let Some(before) = before.filter(|before| *before != name) {
            connected
                .printer
                .note(format!("context {name} is used from now on; `guild context use {before}` goes back"));
        }
        if self.file != Path::new("-") {
            connected.printer.note(format!("{} can be used only once, so you may remove it now", self.file.display()));
        }
        Ok(0)
    }
}

impl Logout {
    pub(crate) fn run(self, connected: &Connected) -> Result<u8, Error> {
        let contexts = Contexts::of_user()?;
        let name = match self.name {
            Some(name) => name,
            None => connected.context()?.name,
        };
        contexts.remove(&name)?;
        connected.printer.say(format!("logged out of context {name}"))?;
        connected.printer.note("the grant itself stays in force until an operator runs `guild grant revoke`");
        Ok(0)
    }
}

impl Whoami {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let who = connected.guild().await?.whoami().await?;
        let context = connected.context()?.name;
        if connected.printer.wants_json() {
            let mut row = serde_json::to_value(&who).unwrap_or_default();
            row["context"] = context.into();
            connected.printer.say_json(&row)?;
            return Ok(0);
        }
        let grant = &who.grant;
        let join = |words: Vec<String>| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        let may = join(grant.what.may.iter().map(ToString::to_string).collect());
        let projects = join(grant.what.projects.iter().cloned().collect());
        let labels =
            grant.what.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ");
        let pools = grant.what.pools.iter().cloned().collect::<Vec<_>>().join(", ");
        let expires = grant.expires.map_or("never".to_owned(), client::views::timestamp);
        let lines = [
            ("name", grant.name.clone()),
            ("kind", grant.kind.to_string()),
            ("grant", grant.id.to_string()),
            ("may", may),
            ("projects", projects),
            ("pools", pools),
            ("labels", labels),
            ("expires", expires),
            ("key", grant.holder.clone()),
            ("master", who.master.clone()),
            ("context", context),
        ];
        // Most grants have neither pools nor labels.
        for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
            connected.printer.say_field(name, &value)?;
        }
        Ok(0)
    }
}

fn default_name(file: &Path) -> String {
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some(stem) if stem != "-" => stem.to_owned(),
        _ => "default".to_owned(),
    }
}

fn read_reference(file: &Path) -> Result<SturdyRef, Error> {
    let unusable = |why: String| Error::Credential { credential: file.display().to_string(), why };
    if file != Path::new("-") {
        if !file.exists() {
            return Err(Error::not_found(format!("there is no file {}", file.display()))
                .help("name the file that `guild grant issue` wrote"));
        }
        return SturdyRef::load(file).map_err(|error| unusable(error.to_string()));
    }
    let mut text = String::new();
    std::io::stdin()
        .take(CREDENTIAL_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Error::file("standard input", error))?;
    SturdyRef::from_text(&text).map_err(|error| unusable(error.to_string()))
}
