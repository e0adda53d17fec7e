//! Keeps a running master in step with its master file. It owns the repositories and reporters that the file creates, and replaces what
//! other parts took from the file: terms, policy, hooks, limits. It serves one call at a time, and each call takes effect as a whole or
//! not at all. `config` and `wiring` decide what the file means.

use crate::config::{Config, ConfigError, ProjectConfig, ProjectFile, Retain, differences};
use crate::decide::coordinator::record::{Answer, RequestId};
use crate::decide::coordinator::{ROOT, Request};
use crate::explain::doctor::ConfigFacts;
use crate::intake::sources::{self, ProjectSources, Repository};
use crate::keep::health::DeliveryHealth;
use crate::keep::installation::random;
use crate::program::wiring::{CommandedSink, MasterParts, hooks, policy, reporters, terms};
use crate::serve::config_calls::{Added, Calls, ConfigCall, ConfigCalls, config_calls};
use crate::serve::web::Hooks;
use schema::values::{Difference, NewProject, Refusal, RefusalCode};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use toml_file::is_name;

pub struct Reloader {
    /// The configuration that is in force.
    config: Config,
    parts: Rc<MasterParts>,
    hooks: Hooks,
    retain: Rc<RefCell<Retain>>,
    followed: BTreeMap<String, FollowTask>,
    reporting: Option<AbortOnDropHandle<()>>,
    /// The health of the reporters that run now.
    reporter_healths: Vec<Rc<DeliveryHealth>>,
    /// The address at which the pages listen.
    web: Option<SocketAddr>,
    config_calls: ConfigCalls,
    calls: Calls,
}

/// A `FollowTask` follows one repository until it is dropped.
struct FollowTask {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// An open mirror with the sources of its project.
type Opened = (Rc<Repository>, ProjectSources);

impl Reloader {
    /// Makes the reloader of a master that runs with the repositories and hooks of `config`.
    pub(crate) fn new(
        config: Config,
        parts: Rc<MasterParts>,
        hooks: Hooks,
        web: Option<SocketAddr>,
        retain: Rc<RefCell<Retain>>,
    ) -> Reloader {
        let (config_calls, calls) = config_calls();
        parts.api.set_config_calls(config_calls.clone());
        Reloader {
            config,
            parts,
            hooks,
            retain,
            followed: BTreeMap::new(),
            reporting: None,
            reporter_healths: Vec::new(),
            web,
            config_calls,
            calls,
        }
    }

    pub fn config_calls(&self) -> ConfigCalls {
        self.config_calls.clone()
    }

    /// Follows repositories, runs reporters and answers calls, for as long as the master runs. Needs a `LocalSet`.
    pub async fn keep(mut self, opened: Vec<Opened>) {
        opened.into_iter().for_each(|opened| self.follow(opened));
        self.report();
        self.lay_out_config_facts();
        while let Some(call) = self.calls.recv().await {
            // the caller may have left
            match call {
                ConfigCall::Differences(answer) => {
                    drop(answer.send(self.read(None).map(|config| differences(&self.config, &config))))
                }
                ConfigCall::Reload(request, answer) => drop(answer.send(self.reload(request).await)),
                ConfigCall::Add(request, project, answer) => drop(answer.send(self.add(request, *project).await)),
            }
        }
    }

    fn read(&self, more: Option<(&Path, &str)>) -> Result<Config, Refusal> {
        Config::load_with(self.file()?, more).map_err(|error| match error {
            ConfigError::Read { .. } => Refusal::new(RefusalCode::Unavailable, error.to_string()),
            ConfigError::Invalid { .. } => Refusal::new(RefusalCode::Invalid, error.to_string()),
        })
    }

    async fn reload(&mut self, request: Request) -> Result<Vec<Difference>, Refusal> {
        let config = self.read(None)?;
        config.warn();
        let found = differences(&self.config, &config);
        let keys: Vec<&str> = found.iter().map(|difference| difference.key.as_str()).collect();
        let what = format!("reload: {}", if keys.is_empty() { "no difference".to_owned() } else { keys.join(", ") });
        self.apply(config, request, what).await?;
        Ok(found)
    }

    /// Puts a configuration into force. If it is refused, nothing has changed.
    async fn apply(&mut self, mut config: Config, request: Request, what: String) -> Result<(), Refusal> {
        config.keep_fixed(&self.config);
        let hooks = hooks(&config).map_err(|error| Refusal::new(RefusalCode::Invalid, error.to_string()))?;
        let opened = self.open_changed(&config).await?;
        let terms = terms(&config);
        let noted = self.parts.driver.call(|it, now| {
            it.note_file(now, request, what)?;
            it.set_terms(now, terms);
            Ok(())
        });
        let noted = noted.await;
        if noted.is_err() {
            // the repositories that were stopped for new ones are followed again
            drop(opened);
            self.go_on();
            return noted;
        }
        self.hooks.replace(hooks);
        *self.retain.borrow_mut() = config.limits.retain.clone();
        self.parts.blobs.set_quota(config.limits.blob_bytes_total);
        self.parts.api.set_policy(policy(&config));
        for gone in self.config.projects.keys().filter(|name| !config.projects.contains_key(*name)) {
            self.followed.remove(gone);
            self.parts.repositories.remove(gone);
        }
        opened.into_iter().for_each(|opened| self.follow(opened));
        let before = std::mem::replace(&mut self.config, config);
        let is_told_else = before.notices != self.config.notices || before.mail != self.config.mail;
        if is_told_else || !before.projects.keys().eq(self.config.projects.keys()) {
            self.report();
        }
        self.lay_out_config_facts();
        Ok(())
    }

    /// Opens each repository that is new or that changed, after its old source has stopped: two sources in one mirror would remove each
    /// other's locks. If it is refused, nothing has changed.
    async fn open_changed(&mut self, config: &Config) -> Result<Vec<Opened>, Refusal> {
        let mut opened = Vec::new();
        for (name, project) in &config.projects {
            if self.config.projects.get(name).is_some_and(|before| follows_alike(before, project)) {
                continue;
            }
            if let Some(followed) = self.followed.remove(name) {
                followed.end().await;
            }
            match self.open(name, project) {
                Ok(one) => opened.push(one),
                Err(error) => {
                    drop(opened);
                    self.go_on();
                    return Err(Refusal::new(RefusalCode::Invalid, format!("project {name}: {error}")));
                }
            }
        }
        Ok(opened)
    }

    fn open(&self, name: &str, project: &ProjectConfig) -> std::io::Result<Opened> {
        let heads = self.parts.driver.peek(|it, _| it.heads_of(name));
        sources::open(&self.config.state, name, project, heads, self.parts.repositories.git())
    }

    /// Follows each project of the configuration that is not followed yet.
    fn go_on(&mut self) {
        let stopped = self.config.projects.iter().filter(|(name, _)| !self.followed.contains_key(*name));
        let opened: Vec<_> = stopped.map(|(name, project)| (name.clone(), self.open(name, project))).collect();
        for (name, opened) in opened {
            match opened {
                Ok(opened) => self.follow(opened),
                Err(error) => tracing::error!(project = name, %error, "the repository is no longer followed"),
            }
        }
    }

    fn follow(&mut self, (repository, sources): Opened) {
        let stop = CancellationToken::new();
        let sink = Rc::new(CommandedSink::new(self.parts.driver.clone(), sources.following()));
        let task = spawn_local(sources.run(sink, self.parts.clock, stop.clone()));
        self.followed.insert(repository.project.clone(), FollowTask { stop, task: AbortOnDropHandle::new(task) });
        self.parts.repositories.put(repository);
    }

    fn report(&mut self) {
        // the old reporters end first, because two with the same name would send each notice twice
        self.reporting = None;
        let reporters = reporters(&self.config, &self.parts);
        self.reporter_healths = reporters.healths();
        self.reporting = Some(AbortOnDropHandle::new(spawn_local(reporters.report())));
    }

    /// Updates what the doctor knows about the configuration.
    fn lay_out_config_facts(&self) {
        let url = self.parts.api.pages();
        let config_facts = ConfigFacts::new(&self.config, self.web, url, self.reporter_healths.clone());
        let config_facts = config_facts.with_disk(self.parts.soundness.clone(), self.parts.logs.health());
        self.parts.api.set_config_facts(config_facts);
    }

    async fn add(&mut self, request: Request, project: NewProject) -> Result<Added, Refusal> {
        let base = self.file()?.parent().unwrap_or(Path::new("/")).to_owned();
        let mut file = ProjectFile { project, hook_secret: String::new() };
        if self.parts.driver.peek(|it, _| it.answered(&request))? == Some(Answer::Done) {
            return Ok(self.added(&file, file.written_secret(&base).unwrap_or_default()));
        }
        self.check_new(&file)?;
        if file.has_hook() {
            file.hook_secret = data_encoding::HEXLOWER.encode(&random::<32>());
        }
        let text = file.text().map_err(|why| Refusal::new(RefusalCode::Invalid, why))?;
        // everything that can be wrong with the text is found before a file is written
        let config = self.read(Some((&file.file(), &text)))?;
        let name = &file.project.name;
        let followed = config.projects.get(name).cloned().ok_or_else(|| not_included(name))?;
        self.parts.driver.admit()?;
        let failed = |error: std::io::Error| Refusal::new(RefusalCode::Unavailable, error.to_string());
        file.write(&base, &text).map_err(failed)?;
        let added = self.take_up(config, request, name, &followed).await;
        if added.is_err() {
            file.remove(&base);
        }
        added.map(|()| self.added(&file, file.hook_secret.clone()))
    }

    /// Fetches a project whose file exists, and puts a configuration into force that has the project.
    async fn take_up(
        &mut self,
        config: Config,
        request: Request,
        name: &str,
        project: &ProjectConfig,
    ) -> Result<(), Refusal> {
        let mirror = self.config.state.join("mirrors").join(name);
        let was_there = mirror.exists();
        if let Err(refusal) = self.fetch(name, project).await {
            if !was_there {
                let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(mirror)).await;
            }
            return Err(refusal);
        }
        self.apply(config, request, format!("project add {name}: {}", project.repo)).await
    }

    async fn fetch(&self, name: &str, project: &ProjectConfig) -> Result<(), Refusal> {
        let refused = |why: String| Refusal::new(RefusalCode::Invalid, format!("project {name}: {why}"));
        let (repository, _) = self.open(name, project).map_err(|error| refused(error.to_string()))?;
        let fetched = repository.mirror.fetch().await;
        fetched.map_err(|error| refused(error.to_string()).help("try `git ls-remote` there, as the master's user"))?;
        Ok(())
    }

    fn check_new(&self, file: &ProjectFile) -> Result<(), Refusal> {
        let name = &file.project.name;
        if !is_name(name) {
            let refusal = Refusal::new(RefusalCode::Invalid, format!("`{name}` is not a valid name for a project"));
            return Err(refusal.help("use letters, digits and `.` `_` `-`"));
        }
        if self.config.projects.contains_key(name) {
            let refusal = Refusal::new(RefusalCode::Conflict, format!("project `{name}` already exists"));
            return Err(refusal.help(
                "its keys are in the master file, or in a file that it includes; change them there, then run `guild config reload`",
            ));
        }
        if file.has_hook() && self.parts.api.pages().is_none() {
            let refusal = Refusal::new(RefusalCode::Invalid, "hooks need pages, but this master serves none");
            return Err(refusal.help("set their address in the master file: web = \"127.0.0.1:8080\" in [listen]"));
        }
        Ok(())
    }

    fn added(&self, file: &ProjectFile, hook_secret: String) -> Added {
        let pages = self.parts.api.pages().filter(|_| file.has_hook());
        let hook_address = pages.map_or_else(String::new, |pages| format!("{pages}/hook/{}", file.project.name));
        Added { hook_address, hook_secret }
    }

    fn file(&self) -> Result<&Path, Refusal> {
        let without = || Refusal::new(RefusalCode::Unavailable, "this master runs without a master file");
        self.config.file.as_deref().ok_or_else(without)
    }
}

impl FollowTask {
    async fn end(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

/// Returns a request of the master itself, for example for a signal.
pub fn own_request() -> Request {
    Request { id: RequestId(random()), by: ROOT, body: [0; 32] }
}

/// Whether both configurations are served by the same source.
fn follows_alike(before: &ProjectConfig, after: &ProjectConfig) -> bool {
    let followed = |project: &ProjectConfig| {
        let (pools, hook, public) = (Vec::new(), None, false);
        ProjectConfig { pools, hook, public, ..project.clone() }
    };
    followed(before) == followed(after)
}

fn not_included(name: &str) -> Refusal {
    let text = format!("the master file does not include projects/{name}.toml");
    Refusal::new(RefusalCode::Invalid, text).help("add to its top: include = [\"projects/*.toml\"]")
}
