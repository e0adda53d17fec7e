//! `guild grant` makes credentials and takes them back. The join is made on this machine, and the master learns only its hash.

use crate::connected::Connected;
use crate::options::parse_duration;
use crate::printer::Printer;
use clap::{Args, Subcommand};
use client::views::{GrantView, timestamp};
use client::{Error, Issued, NewGrant};
use schema::shown;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{GrantKind, Right, Scope, What};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

const COLUMNS: [&str; 7] = ["id", "status", "kind", "name", "may", "projects", "expires"];

#[derive(Subcommand)]
pub(crate) enum Grant {
    /// Make a credential for somebody: a file that can be redeemed once
    Issue(Issue),
    /// List your own grant and the grants below it
    List(GrantList),
    /// Show one grant in full
    Show(GrantShow),
    /// Revoke a grant and all grants below it
    Revoke(Revoke),
}

#[derive(Args)]
pub(crate) struct Issue {
    /// The kind of the grant: worker, user, changes, events or operator [default: user, if you name a role]
    #[arg(long, required_unless_present = "role")]
    kind: Option<GrantKind>,
    /// Grant the rights and projects that the master file lists under this name
    #[arg(long, conflicts_with_all = ["may", "projects"])]
    role: Option<String>,
    /// The name of the person or machine that holds the grant
    #[arg(long, required_unless_present = "names")]
    name: Option<String>,
    /// Make one credential for each of these names, in a file NAME.cap of the directory --output
    #[arg(long, value_delimiter = ',', conflicts_with = "name", value_name = "NAMES")]
    names: Vec<String>,
    /// The rights that it gives: any of view run retry cancel try changes events operate [default: by kind; a user's
    /// are view,run,retry,cancel,try]
    #[arg(long, value_delimiter = ',')]
    may: Vec<Right>,
    /// A project that the grant covers [default: all projects of your own grant]
    #[arg(long = "project", value_name = "PROJECT")]
    projects: Vec<String>,
    /// A pool. A worker serves it [default: the pool default]; an operator may act on its workers, which is to
    /// issue, hold, drain and forget them [default: none, or all pools if the grant covers all projects]
    #[arg(long = "pool", value_name = "POOL")]
    pools: Vec<String>,
    /// A label. The master trusts a worker to have it, and `NAME=*` trusts any value that the worker claims. An operator may
    /// give it to workers
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// End the grant after this time (90m, 24h, 7d) [default: never]
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    ttl: Option<Duration>,
    /// Write the credential to this file, which must not exist yet; with --names, to this directory
    #[arg(long, short, value_name = "FILE|DIR")]
    output: PathBuf,
}

#[derive(Args)]
pub(crate) struct GrantList {
    /// Also list grants that were revoked or have expired
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
pub(crate) struct GrantShow {
    /// The number that `guild grant list` shows, or the holder's name
    grant: String,
}

#[derive(Args)]
pub(crate) struct Revoke {
    /// The number that `guild grant list` shows, or the holder's name
    grant: String,
    /// The reason, which the holder sees
    #[arg(long, short, default_value = "", value_name = "WHY")]
    message: String,
}

impl Grant {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        match self {
            Grant::Issue(issue) => issue.run(connected).await?,
            Grant::List(list) => {
                let grants = connected.guild().await?.all_grants(list.all).await?;
                let rows: Vec<Value> = grants.iter().map(|grant| row(&connected.printer, grant)).collect();
                connected.printer.say_rows(&rows, &COLUMNS)?;
            }
            Grant::Show(show) => show.run(connected).await?,
            Grant::Revoke(revoke) => revoke.run(connected).await?,
        }
        Ok(0)
    }
}

impl Issue {
    async fn run(self, connected: &Connected) -> Result<(), Error> {
        let orders = self.orders();
        // Each name becomes the name of a file, so it is checked here. The master checks the rest.
        if let Some(name) =
            self.names.iter().find(|name| name.is_empty() || name.starts_with('.') || name.contains('/'))
        {
            return Err(Error::usage(format!("`{name}` is not a valid name: use letters, digits, `.`, `_` and `-`")));
        }
        if let Some((_, file)) = orders.iter().find(|(_, file)| file.exists()) {
            return Err(Error::usage(format!("{} already exists", file.display())));
        }
        if !self.names.is_empty() {
            std::fs::create_dir_all(&self.output).map_err(|error| Error::file(&self.output, error))?;
        }
        let what = self.what(connected).await?;
        for (name, file) in orders {
            self.issue(connected, name, &file, what.clone()).await?;
        }
        Ok(())
    }

    /// Returns the name of each holder, and the file for the holder's credential.
    fn orders(&self) -> Vec<(&str, PathBuf)> {
        let one = self.name.iter().map(|name| (name.as_str(), self.output.clone()));
        let many = self.names.iter().map(|name| (name.as_str(), self.output.join(format!("{name}.cap"))));
        one.chain(many).collect()
    }

    fn kind(&self) -> GrantKind {
        self.kind.unwrap_or(GrantKind::User)
    }

    async fn what(&self, connected: &Connected) -> Result<What, Error> {
        let (pools, labels) = (self.pools.iter().cloned().collect(), self.labels.clone());
        if let Some(name) = &self.role {
            let mut roles = connected.guild().await?.roles().await?;
            let role = roles.remove(name).ok_or_else(|| {
                let known = roles.into_keys().collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {known}") };
                Error::not_found(format!("the master file has no role `{name}`")).help(known)
            })?;
            return Ok(What { pools, labels, ..role });
        }
        let may = if self.may.is_empty() { default_rights(self.kind()) } else { self.may.iter().copied().collect() };
        match (self.projects.is_empty(), self.kind()) {
            (false, _) => Ok(What { may, projects: self.projects.iter().cloned().collect(), pools, labels }),
            // The pools of a worker decide which jobs it gets.
            (true, GrantKind::Worker | GrantKind::Unknown) => {
                Ok(What { may, projects: Scope::default(), pools, labels })
            }
            (true, GrantKind::Operator | GrantKind::User | GrantKind::Changes | GrantKind::Events) => {
                let own = connected.guild().await?.whoami().await?.grant.what;
                let names_none = pools.is_empty() && labels.is_empty() && self.kind() == GrantKind::Operator;
                let (pools, labels) = if names_none { (own.pools, own.labels) } else { (pools, labels) };
                Ok(What { may, projects: own.projects, pools, labels })
            }
        }
    }

    async fn issue(&self, connected: &Connected, name: &str, file: &Path, what: What) -> Result<(), Error> {
        let join = Token::random();
        let grant =
            NewGrant { kind: self.kind(), name: name.to_owned(), what, lifetime: self.ttl, join_hash: join.digest() };
        let issued = connected.guild().await?.issue(&grant).await?;
        let reference = reference(&issued, join)?;
        write_credential(file, &reference, &issued.grant)?;
        if connected.printer.wants_json() {
            return connected.printer.say_json(&row(&connected.printer, &issued.grant));
        }
        connected.printer.say(format!("grant {} for {name} in {}", issued.grant.id, file.display()))?;
        let file = file.display();
        connected.printer.note(match self.kind() {
            GrantKind::Worker => format!("next: run guild-worker join {file} on the worker's machine"),
            GrantKind::Operator | GrantKind::User | GrantKind::Changes | GrantKind::Events | GrantKind::Unknown => {
                format!("next: its holder runs guild login {file}")
            }
        });
        Ok(())
    }
}

impl GrantShow {
    async fn run(self, connected: &Connected) -> Result<(), Error> {
        let grant = find(connected, &self.grant).await?;
        if connected.printer.wants_json() {
            return connected.printer.say_json(&row(&connected.printer, &grant));
        }
        let row = row(&connected.printer, &grant);
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let time = |time: Option<_>| time.map_or("never".to_owned(), timestamp);
        let labels: Vec<String> = grant.what.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let pools: Vec<String> = grant.what.pools.iter().cloned().collect();
        let lines = [
            ("id", grant.id.to_string()),
            ("status", text("status")),
            ("parent", grant.parent.to_string()),
            ("kind", grant.kind.to_string()),
            ("name", grant.name.clone()),
            ("may", text("may")),
            ("projects", text("projects")),
            ("pools", pools.join(",")),
            ("labels", labels.join(",")),
            ("created", time(grant.created)),
            ("expires", time(grant.expires)),
            ("revoked", time(grant.revoked)),
            ("reason", grant.reason.clone()),
            ("holder", grant.holder.clone()),
        ];
        for (name, value) in lines {
            connected.printer.say_field(name, &value)?;
        }
        Ok(())
    }
}

impl Revoke {
    async fn run(self, connected: &Connected) -> Result<(), Error> {
        let id = match self.grant.parse() {
            Ok(id) => id,
            Err(_) => {
                let grant = find(connected, &self.grant).await?;
                connected.printer.note(format!("revoke: grant {} of {} ({})", grant.id, grant.name, grant.kind));
                grant.id
            }
        };
        let revoked = connected.guild().await?.revoke(id, &self.message).await?;
        let revoked: Vec<String> = revoked.iter().map(ToString::to_string).collect();
        connected.printer.say(format!("revoked {}", revoked.join(" ")))
    }
}

/// Finds a grant by its number, or by its name if exactly one grant in force has that name.
async fn find(connected: &Connected, wanted: &str) -> Result<GrantView, Error> {
    let mut found = connected.guild().await?.find_grants(wanted).await?;
    match (found.pop(), found.len()) {
        (Some(grant), 0) => Ok(grant),
        (Some(_), _) => Err(Error::usage(format!("several grants are held by `{wanted}`"))
            .help("use the number that `guild grant list` shows")),
        (None, _) => Err(Error::not_found(format!("there is no grant `{wanted}` below yours"))
            .help("`guild grant list` shows the grants below yours")),
    }
}

fn default_rights(kind: GrantKind) -> BTreeSet<Right> {
    match kind {
        GrantKind::User => BTreeSet::from([Right::View, Right::Run, Right::Retry, Right::Cancel, Right::Try]),
        GrantKind::Changes => BTreeSet::from([Right::Changes]),
        GrantKind::Events => BTreeSet::from([Right::Events]),
        GrantKind::Operator => Right::ALL.into_iter().collect(),
        // A worker has the rights of its desk, which needs no right of a perspective.
        GrantKind::Worker | GrantKind::Unknown => BTreeSet::new(),
    }
}

fn reference(issued: &Issued, join: Token) -> Result<SturdyRef, Error> {
    let fingerprint = issued
        .fingerprint
        .parse()
        .map_err(|error| Error::Protocol(format!("its fingerprint `{}`: {error}", issued.fingerprint)))?;
    if issued.advertise.is_empty() {
        return Err(Error::Protocol("the master did not say at which address it can be reached".to_owned()));
    }
    Ok(SturdyRef { fingerprint, addresses: issued.advertise.clone(), token: join })
}

/// Writes a file with mode 0600, and never over an existing file. Its comment lines say what it is.
fn write_credential(path: &Path, reference: &SturdyRef, grant: &GrantView) -> Result<(), Error> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let command = if grant.kind == GrantKind::Worker { "guild-worker join" } else { "guild login" };
    let expires = grant.expires.map_or("never".to_owned(), timestamp);
    let text = format!(
        "# a Guild credential for {} ({}), grant {}, expires: {expires}\n\
         # can be redeemed once, with `{command} FILE`; until then, everyone who reads it may use it\n{reference}\n",
        shown::line(&grant.name),
        grant.kind,
        grant.id,
    );
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| Error::file(path, error))
}

fn row(printer: &Printer, grant: &GrantView) -> Value {
    let mut row = serde_json::to_value(grant).unwrap_or_default();
    let rights: Vec<&str> = grant.what.may.iter().map(|right| right.word()).collect();
    let projects: Vec<&str> = grant.what.projects.iter().map(String::as_str).collect();
    let expired = grant.expires.is_some_and(|expires| expires <= printer.look.now);
    row["status"] = match (grant.revoked.is_some(), expired, grant.holder.is_empty()) {
        (true, _, _) => "revoked",
        (false, true, _) => "expired",
        (false, false, true) => "unredeemed",
        (false, false, false) => "in use",
    }
    .into();
    row["may"] = rights.join(",").into();
    row["projects"] = projects.join(",").into();
    row
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not a label: write NAME=VALUE")),
    }
}
