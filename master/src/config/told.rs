//! Writes a configuration key by key, as the file would have it, to compare two of them.

use super::read::turn_word;
use super::{Config, HookConfig, Limits, Listen, MailConfig, NoticeConfig, PoolConfig, ProjectConfig, Retain};
use schema::values::{Difference, TimeSpan, What};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// The keys of a master file with their values, as text.
type Told = BTreeMap<String, String>;

/// Returns the keys that differ between two configurations, in the order of the keys.
pub fn differences(running: &Config, config: &Config) -> Vec<Difference> {
    let mut taken_up = config.clone();
    keep_fixed(running, &mut taken_up);
    let (before, after, taken_up) = (told(running), told(config), told(&taken_up));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |told: &Told, key| told.get(key).cloned().unwrap_or_default();
    let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let told = differing.map(|key| Difference {
        key: key.clone(),
        before: value(&before, key),
        after: value(&after, key),
        needs_restart: taken_up.get(key) != after.get(key),
    });
    told.collect()
}

/// Copies from `running` the values that a master cannot change while it runs.
pub(super) fn keep_fixed(running: &Config, config: &mut Config) {
    config.url.clone_from(&running.url);
    config.state.clone_from(&running.state);
    config.listen.rpc.clone_from(&running.listen.rpc);
    config.listen.web.clone_from(&running.listen.web);
    config.listen.web_is_open = running.listen.web_is_open;
    config.listen.metrics_name_projects = running.listen.metrics_name_projects;
    config.limits.log_bytes = running.limits.log_bytes;
}

// Each struct is destructured without `..`, so that the compiler finds a new key that is missing here.
fn told(config: &Config) -> Told {
    let Config { file: _, include, url, state, listen, limits, projects, pools, mail, notices, roles, warnings: _ } =
        config;
    let Listen { rpc, advertise, web, web_is_open: _, metrics_name_projects } = listen;
    let Limits { job_timeout, lease, offer, log_bytes, blob_bytes_total, connections, retain } = limits;
    let Retain { builds, logs, log_bytes_total, events } = retain;
    let mut told = Told::new();
    let mut tell = |key: &str, value: String| drop(told.insert(key.to_owned(), value));
    tell("include", texts(include));
    tell("url", text(url));
    tell("state", path(state));
    tell("listen.rpc", text(rpc));
    tell("listen.advertise", texts(advertise));
    tell("listen.web", web.as_deref().map_or_else(String::new, text));
    tell("listen.metrics_name_projects", metrics_name_projects.to_string());
    tell("limits.job_timeout", duration(*job_timeout));
    tell("limits.lease", duration(*lease));
    tell("limits.offer", duration(*offer));
    tell("limits.log_bytes", log_bytes.to_string());
    tell("limits.blob_bytes_total", blob_bytes_total.to_string());
    tell("limits.connections", connections.to_string());
    tell("limits.retain.builds", builds.to_string());
    tell("limits.retain.logs", duration(*logs));
    tell("limits.retain.log_bytes_total", log_bytes_total.to_string());
    tell("limits.retain.events", duration(*events));
    for (name, project) in projects {
        tell_project(&mut |key, value| tell(&format!("project.{name}.{key}"), value), project);
    }
    for (name, pool) in pools {
        let PoolConfig { matches, lease, isolation } = pool;
        tell(&format!("pool.{name}.match"), texts(matches));
        tell(&format!("pool.{name}.lease"), lease.map_or_else(String::new, duration));
        tell(&format!("pool.{name}.isolation"), isolation.map_or_else(String::new, |tier| tier.to_string()));
    }
    for (name, role) in roles {
        let What { may, projects, pools: _, labels: _ } = role;
        tell(&format!("role.{name}.may"), texts(may.iter().map(|right| right.word())));
        tell(&format!("role.{name}.projects"), texts(projects));
    }
    if let Some(mail) = mail {
        tell_mail(&mut |key, value| tell(&format!("mail.{key}"), value), mail);
    }
    for (number, entry) in (1..).zip(notices) {
        tell_notice(&mut |key, value| tell(&format!("notice.{number}.{key}"), value), entry);
    }
    told
}

fn tell_project(tell: &mut dyn FnMut(&str, String), project: &ProjectConfig) {
    let ProjectConfig {
        repo,
        aliases,
        credential_file,
        known_hosts_file,
        token_file,
        branches,
        tags,
        poll,
        pools,
        hook,
        commit_url,
        public,
        inferred: _,
    } = project;
    tell("repo", text(repo));
    tell("aliases", texts(aliases));
    for (key, file) in
        [("credential_file", credential_file), ("known_hosts_file", known_hosts_file), ("token_file", token_file)]
    {
        tell(key, file.as_deref().map_or_else(String::new, path));
    }
    tell("branches", texts(branches));
    tell("tags", texts(tags));
    tell("poll", duration(*poll));
    tell("pools", texts(pools));
    if let Some(HookConfig { kind, secret_file }) = hook {
        tell("hook.kind", text(kind.word()));
        tell("hook.secret_file", path(secret_file));
    }
    tell("commit_url", commit_url.as_deref().map_or_else(String::new, text));
    tell("public", public.to_string());
}

fn tell_mail(tell: &mut dyn FnMut(&str, String), mail: &MailConfig) {
    let MailConfig { host, port, from, login } = mail;
    tell("smtp", text(&format!("{host}:{port}")));
    tell("from", text(from));
    if let Some((user, file)) = login {
        tell("user", text(user));
        tell("password_file", path(file));
    }
}

fn tell_notice(tell: &mut dyn FnMut(&str, String), entry: &NoticeConfig) {
    let NoticeConfig { events, by, projects, branches, remind } = entry;
    tell("events", texts(events.iter().map(|turn| turn_word(*turn))));
    by.tell(tell);
    tell("projects", texts(projects));
    tell("branches", texts(branches));
    if let Some(remind) = remind {
        tell("remind", duration(*remind));
    }
}

pub(super) fn text(text: &str) -> String {
    format!("{text:?}")
}

pub(super) fn texts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|one| text(one.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

pub(super) fn path(path: &Path) -> String {
    text(&path.display().to_string())
}

fn duration(duration: Duration) -> String {
    format!("\"{}\"", TimeSpan(duration).written())
}
