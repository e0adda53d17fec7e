//! Reads the text of `master.toml` into a [`Config`], and reports all errors at once.

mod notice;

pub(super) use notice::{known, turn_word};

use super::forge;
use super::include::{Text, included};
use super::secret::secret;
use super::{Config, HookConfig, HookKind, Limits, Listen, POLL, PoolConfig, ProjectConfig, Retain};
use pipeline::mistake::in_names;
use schema::limits::{ADVERTISED, PROJECTS};
use schema::values::{Asks, Right, Want, What};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml_file::{At, Diagnostics, NAME_MAX, Page, Table, Value, is_name};

/// The pool of workers whose grant names no pool. It needs no table.
const DEFAULT_POOL: &str = "default";
pub(super) const BUILDS_MAX: u32 = 10_000_000;
/// The most bytes of `commit_url`, because each page and each answer about a build contains it.
const COMMIT_URL_BYTES: usize = 1_000;
/// The most connections that a file may allow to one grant: more than a process can have file descriptors.
pub(super) const CONNECTIONS_MAX: u32 = 1_000_000;

/// The shortest lease that works: a worker renews it three times, and stops its steps when a quarter of it is left.
const LEASE_MIN: Duration = Duration::from_secs(1);

/// A `Part` is the tables of one file, and the directory to which its paths are relative.
pub(super) struct Part<'t> {
    pub(super) root: Table<'t>,
    pub(super) base: &'t Path,
}

/// Reads the configuration from the master file and the files that it includes. `more` is a file that counts as present.
pub(super) fn config(main: &Text, more: Option<Text>) -> Result<Config, Diagnostics> {
    let page = Page::open(&main.name, &main.bytes)?;
    let tree = page.parse()?;
    let root = page.root(&tree);
    let (include, texts) = included(&root, &main.base, more);
    let mut errors = Diagnostics::default();
    let opened = texts.iter().map(|text| Ok((Page::open(&text.name, &text.bytes)?, text.base.as_path())));
    let pages: Vec<(Page<'_>, &Path)> = errors.sift(opened);
    let parsed = pages.iter().map(|(page, base)| Ok((page, page.parse()?, *base)));
    let trees: Vec<_> = errors.sift(parsed);
    if !errors.0.is_empty() {
        return Err(errors);
    }
    let parts = trees.iter().map(|(page, tree, base)| Part { root: page.root(tree), base });
    let parts: Vec<Part<'_>> = [Part { root, base: &main.base }].into_iter().chain(parts).collect();
    let config = top(&parts, include);
    for page in [&page].into_iter().chain(pages.iter().map(|(page, _)| page)) {
        errors.0.extend(page.diagnostics().0);
    }
    config.filter(|_| errors.0.is_empty()).ok_or(errors)
}

/// Reads the port of an address `HOST:PORT`.
pub(super) fn port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let host_is_one = match host.strip_prefix('[') {
        Some(rest) => rest.ends_with(']'),
        None => !host.contains(':'),
    };
    let written = !host.is_empty() && host_is_one && !address.contains(char::is_whitespace);
    port.parse().ok().filter(|_| written && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads all files. The first part is the master file itself.
fn top(parts: &[Part<'_>], include: Vec<String>) -> Option<Config> {
    let (main, others) = parts.split_first()?;
    let Part { root, base } = main;
    check_version(root);
    let url = root.get("url").and_then(|value| url(&value)).unwrap_or_default();
    let state = root.get("state").and_then(|value| value.text());
    let listen = listen(root);
    let limits = limits(root);
    let pools = pools(parts);
    let poll = default_poll(root);
    let projects = projects(parts, poll, &pools);
    let mail = notice::mail(root, base);
    let (notices, warnings) = notice::notices(main, &projects);
    let roles = roles(parts);
    root.close(&["lock"]);
    others.iter().for_each(|part| part.root.close(&["lock"]));
    let state = base.join(state.map_or_else(|| ".".to_owned(), |state| state.value));
    // this drops the `.`, which people would see in messages
    let state = state.components().collect();
    let (file, listen) = (None, listen?);
    Some(Config { file, include, url, state, listen, limits, projects, pools, mail, notices, roles, warnings })
}

fn check_version(root: &Table<'_>) {
    let Some(value) = root.get("version") else {
        return root.page().error(0..0, "the file does not say its `version`", "", "begin it with: version = 1");
    };
    match value.integer(0..=i64::MAX) {
        Some(1) | None => {}
        Some(other) => value.refuse(format_args!("{other} is not known"), "", "this version of guild reads version 1"),
    }
}

fn url(value: &Value<'_>) -> Option<String> {
    let url = value.text()?.value;
    if !is_web_address(&url) {
        value.refuse("is not a web address", "", "it begins with https:// or http://");
        return None;
    }
    let url = url.trim_end_matches('/');
    if let Some(rest) = url.split_once("://").and_then(|(_, rest)| rest.find(['/', '?', '#']).map(|at| &rest[at..])) {
        let help = "give the pages a name of their own, like https://guild.example.org";
        value.refuse(
            format_args!("has `{rest}` after its host, but the pages must be at the root of a site"),
            "",
            help,
        );
        return None;
    }
    Some(url.to_owned())
}

/// Reads the address of a commit's page. It must be a web address that contains the placeholder for the commit.
fn commit_url(value: &Value<'_>) -> Option<String> {
    let url = value.text()?.value;
    if is_web_address(&url) && url.contains(forge::COMMIT) && url.len() <= COMMIT_URL_BYTES {
        return Some(url);
    }
    let help = "write it like \"https://git.example.org/pyfoo/commit/{commit}\"";
    value.refuse("is not an address of a commit's page", "", help);
    None
}

pub(super) fn is_web_address(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn listen(root: &Table<'_>) -> Option<Listen> {
    let Some(value) = root.get("listen") else {
        let help = "add [listen] with rpc = \"0.0.0.0:7711\" and advertise = [\"HOST:7711\"]";
        root.page().error(0..0, "the file does not say where to listen", "", help);
        return None;
    };
    let table = value.table("[listen]")?;
    let rpc = required(&table, "rpc").and_then(|value| {
        let rpc = value.text()?;
        check_address(&table, &value, &rpc, 0).then_some(rpc.value)
    });
    let advertise = required(&table, "advertise").and_then(|value| {
        let addresses = value.one_or_more()?;
        if addresses.is_empty() {
            value.refuse("is empty", "", "workers and people need one: \"HOST:PORT\"");
        }
        if addresses.len() > ADVERTISED.most {
            let message = format!("has {} addresses; at most {} are allowed", addresses.len(), ADVERTISED.most);
            value.refuse(message, "", "name one for each network that the master is reached from");
        }
        let good = addresses.into_iter().filter(|address| check_address(&table, &value, address, 1));
        Some(good.map(|address| address.value).collect())
    });
    let web = table.get("web").and_then(|value| {
        let web = value.text()?;
        check_address(&table, &value, &web, 0).then_some(web.value)
    });
    let metrics_name_projects = table.get("metrics_name_projects").and_then(|value| value.boolean()).unwrap_or(false);
    table.close(&[]);
    Some(Listen { rpc: rpc?, advertise: advertise?, web, web_is_open: false, metrics_name_projects })
}

/// Returns the value of a key, and reports an error if the key is missing.
pub(super) fn required<'t>(table: &Table<'t>, key: &'static str) -> Option<Value<'t>> {
    let value = table.get(key);
    if value.is_none() {
        table.page().error(table.span(), format!("{} has no `{key}`", table.place()), "", "");
    }
    value
}

/// Checks an address `HOST:PORT`. Port 0 means any free one, so it is good to listen on, but `least` excludes it where others connect.
fn check_address(table: &Table<'_>, value: &Value<'_>, address: &At<String>, least: u16) -> bool {
    let good = port(&address.value).is_some_and(|port| port >= least);
    if !good {
        let message = format!("{} has `{}`, which is not HOST:PORT", value.what(), address.value);
        table.page().error(address.span.clone(), message, "", "write an IPv6 address in brackets: \"[::1]:7711\"");
    }
    good
}

fn limits(root: &Table<'_>) -> Limits {
    let usual = Limits::default();
    let Some(table) = root.get("limits").and_then(|value| value.table("[limits]")) else { return usual };
    let limits = Limits {
        job_timeout: duration(&table, "job_timeout").unwrap_or(usual.job_timeout),
        lease: lease(&table).unwrap_or(usual.lease),
        offer: duration(&table, "offer").unwrap_or(usual.offer),
        log_bytes: bytes(&table, "log_bytes").unwrap_or(usual.log_bytes),
        blob_bytes_total: bytes(&table, "blob_bytes_total").unwrap_or(usual.blob_bytes_total),
        connections: connections(&table).unwrap_or(usual.connections),
        retain: retain(&table),
    };
    table.close(&[]);
    limits
}

fn connections(limits: &Table<'_>) -> Option<u32> {
    let count = limits.get("connections")?.integer(1..=i64::from(CONNECTIONS_MAX))?;
    u32::try_from(count).ok()
}

fn retain(limits: &Table<'_>) -> Retain {
    let usual = Retain::default();
    let Some(table) = limits.get("retain").and_then(|value| value.table("[limits.retain]")) else { return usual };
    let builds = table.get("builds").and_then(|value| value.integer(1..=i64::from(BUILDS_MAX)));
    let retain = Retain {
        builds: builds.and_then(|builds| u32::try_from(builds).ok()).unwrap_or(usual.builds),
        logs: duration(&table, "logs").unwrap_or(usual.logs),
        log_bytes_total: bytes(&table, "log_bytes_total").unwrap_or(usual.log_bytes_total),
        events: duration(&table, "events").unwrap_or(usual.events),
    };
    table.close(&["artifacts"]);
    retain
}

/// Reads a length of time, which must be more than zero.
fn duration(table: &Table<'_>, key: &'static str) -> Option<Duration> {
    let value = table.get(key)?;
    let duration = value.duration()?;
    if duration.is_zero() {
        value.refuse("must be more than zero", "", "");
        return None;
    }
    Some(duration)
}

/// Reads the length of a lease, which must be long enough for the worker to renew it in time.
fn lease(table: &Table<'_>) -> Option<Duration> {
    let value = table.get("lease")?;
    let duration = value.duration()?;
    if duration < LEASE_MIN {
        let help = "a worker renews a lease at least three times before it ends, so \"1s\" is the shortest that works";
        value.refuse("is too short", "", help);
        return None;
    }
    Some(duration)
}

/// Reads a size in bytes, which must be more than zero.
fn bytes(table: &Table<'_>, key: &'static str) -> Option<u64> {
    let value = table.get(key)?;
    let bytes = value.bytes()?;
    if bytes == 0 {
        value.refuse("must be more than zero", "", "");
        return None;
    }
    Some(bytes)
}

fn default_poll(root: &Table<'_>) -> Duration {
    let defaults = root.get("defaults").and_then(|value| value.table("[defaults]"));
    let project = defaults.as_ref().and_then(|table| table.get("project"));
    let project = project.and_then(|value| value.table("[defaults.project]"));
    let poll = project.as_ref().and_then(|table| duration(table, "poll"));
    defaults.iter().chain(&project).for_each(|table| table.close(&[]));
    poll.unwrap_or(POLL)
}

fn pools(parts: &[Part<'_>]) -> BTreeMap<String, PoolConfig> {
    let named = named(parts, "pool", "a pool");
    let pools = named.into_iter().map(|(name, table, _)| {
        let isolation = table.get("isolation").and_then(|value| value.tier());
        let pool = PoolConfig { matches: matches(&table), lease: lease(&table), isolation };
        table.close(&["share"]);
        (name, pool)
    });
    pools.collect()
}

fn roles(parts: &[Part<'_>]) -> BTreeMap<String, What> {
    let named = named(parts, "role", "a role");
    let roles = named.into_iter().map(|(name, table, _)| {
        let may = required(&table, "may").map(|value| rights(&table, &value)).unwrap_or_default();
        let projects =
            required(&table, "projects").and_then(|value| few_projects(&value)).map(values).unwrap_or_default();
        table.close(&[]);
        (name, What { may, projects: projects.into_iter().collect(), ..What::default() })
    });
    roles.collect()
}

/// Reads the projects of a role. A role becomes a grant, so it may name as many projects as a grant.
fn few_projects(value: &Value<'_>) -> Option<Vec<At<String>>> {
    let named = value.one_or_more()?;
    if named.len() > PROJECTS.most {
        let message = format!("names {} projects; a grant names at most {}", named.len(), PROJECTS.most);
        value.refuse(message, "", "\"*\" means all projects");
    }
    Some(named)
}

fn rights(table: &Table<'_>, value: &Value<'_>) -> BTreeSet<Right> {
    let words = value.one_or_more().unwrap_or_default();
    let rights = words.into_iter().filter_map(|word| {
        let right = Right::ALL.into_iter().find(|right| right.word() == word.value);
        if right.is_none() {
            let message = format!("{} names the right `{}`, which does not exist", table.place(), word.value);
            let known = Right::ALL.into_iter().map(Right::word);
            table.page().unknown(word.span.clone(), message, "no such right", &word.value, known);
        }
        right
    });
    rights.collect()
}

/// Reads the labels of a pool, each `name` or `name=value`.
fn matches(table: &Table<'_>) -> Vec<String> {
    let wants = table.get("match").and_then(|value| value.one_or_more()).unwrap_or_default();
    for want in &wants {
        let read = Want::read(&want.value);
        if !matches!(read.asks(), Asks::Label { name, .. } if is_name(name)) {
            let message = format!("`{}` in {} is not a label", want.value, table.place());
            table.page().error(want.span.clone(), message, "", "write it like \"gpu\" or \"platform=linux-x86_64\"");
        }
    }
    wants.into_iter().map(|want| want.value).collect()
}

fn projects(
    parts: &[Part<'_>],
    poll: Duration,
    pools: &BTreeMap<String, PoolConfig>,
) -> BTreeMap<String, ProjectConfig> {
    let named = named(parts, "project", "a project");
    named.into_iter().filter_map(|(name, table, base)| Some((name, project(&table, base, poll, pools)?))).collect()
}

fn project(
    table: &Table<'_>,
    base: &Path,
    poll: Duration,
    pools: &BTreeMap<String, PoolConfig>,
) -> Option<ProjectConfig> {
    let repo = required(table, "repo").and_then(|value| value.text());
    let file = |key| table.get(key).and_then(|value| value.text()).map(|file| secret(base, &file.value));
    let files: [Option<PathBuf>; 3] = ["credential_file", "known_hosts_file", "token_file"].map(file);
    let usual = ProjectConfig::of(repo.map(|repo| repo.value).unwrap_or_default());
    let branches = names(table, "branches");
    let config = ProjectConfig {
        aliases: table.get("aliases").and_then(|value| value.one_or_more()).map(values).unwrap_or_default(),
        branches: branches.unwrap_or(usual.branches),
        tags: names(table, "tags").unwrap_or_default(),
        poll: duration(table, "poll").unwrap_or(poll),
        pools: pools_of(table, pools),
        hook: table.get("hook").and_then(|value| hook(&value, base)),
        commit_url: table.get("commit_url").and_then(|value| commit_url(&value)),
        public: table.get("public").and_then(|value| value.boolean()).unwrap_or(false),
        repo: usual.repo,
        credential_file: files[0].clone(),
        known_hosts_file: files[1].clone(),
        token_file: files[2].clone(),
        inferred: None,
    };
    table.close(&["forks", "secrets"]);
    (!config.repo.is_empty()).then_some(config)
}

/// Reads patterns of branches or tags, and refuses those that can never match.
pub(super) fn names(table: &Table<'_>, key: &'static str) -> Option<Vec<String>> {
    let value = table.get(key)?;
    let names = value.one_or_more()?;
    for name in &names {
        if let Some(mistake) = in_names(&name.value) {
            let message = format!("{} has `{}`, which matches nothing: {}", value.what(), name.value, mistake.why);
            table.page().error(name.span.clone(), message, "", mistake.help);
        }
    }
    Some(values(names))
}

fn hook(value: &Value<'_>, base: &Path) -> Option<HookConfig> {
    let table = value.table("hook")?;
    let kind = required(&table, "kind").and_then(|value| {
        let word = value.text()?.value;
        let kind = HookKind::ALL.into_iter().find(|kind| kind.word() == word);
        if kind.is_none() {
            let known = HookKind::ALL.map(HookKind::word).join(", ");
            value.refuse(
                format_args!("has `{word}`, which is not a kind of hook"),
                "",
                format!("it must be one of {known}"),
            );
        }
        kind
    });
    let file = required(&table, "secret_file").and_then(|value| value.text());
    table.close(&[]);
    Some(HookConfig { kind: kind?, secret_file: secret(base, &file?.value) })
}

/// Reads the pools of a project. A pool that is not defined is an error, because its jobs would wait for ever.
fn pools_of(table: &Table<'_>, pools: &BTreeMap<String, PoolConfig>) -> Vec<String> {
    let names = table.get("pools").and_then(|value| value.one_or_more()).unwrap_or_default();
    for name in names.iter().filter(|name| name.value != DEFAULT_POOL && !pools.contains_key(&name.value)) {
        let message = format!("{} names the pool `{}`, which is not defined", table.place(), name.value);
        let known = pools.keys().map(String::as_str).chain([DEFAULT_POOL]);
        table.page().unknown(name.span.clone(), message, "no such pool", &name.value, known);
    }
    values(names)
}

pub(super) fn values(strings: Vec<At<String>>) -> Vec<String> {
    strings.into_iter().map(|string| string.value).collect()
}

/// Returns the tables `[KEY.NAME]` of all files, each with its name and its file's directory. A name must not need quotes in a selector.
fn named<'t>(parts: &[Part<'t>], key: &'static str, what: &str) -> Vec<(String, Table<'t>, &'t Path)> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for Part { root, base } in parts {
        let all = root.get(key).and_then(|value| value.table(format!("[{key}]")));
        for (name, value) in all.iter().flat_map(Table::named) {
            if !is_name(name.value) {
                let help = format!("use letters, digits and `.` `_` `-`, at most {NAME_MAX}");
                root.page().error(name.span, format!("`{}` is not a valid name for {what}", name.value), "", help);
            } else if !seen.insert(name.value) {
                let message = format!("[{key}.{}] is also in another file", name.value);
                root.page().error(name.span, message, "", "keep one of them");
            } else if let Some(table) = value.table(format!("[{key}.{}]", name.value)) {
                found.push((name.value.to_owned(), table, *base));
            }
        }
    }
    found
}
