//! `worker.toml` in the worker's state directory. All keys are optional, and the machine is probed for the missing ones.

mod cgroup;
pub(crate) mod keys;

use schema::limits::{LABEL, LABELS};
use schema::values::{Bytes, TimeSpan};
use schema::values::{Description, Resources, StepBounds, Tier, TierProbe};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml_file::with_plain_line_ends;

/// The file that holds the worker's credential, in its state directory.
pub const CREDENTIAL_FILE: &str = "worker.cap";
const IDENTITY_FILE: &str = "identity.key";
const CONFIG_FILE: &str = "worker.toml";

/// The number of cores for each slot if the file does not have the key `slots`.
const CPUS_PER_SLOT: u16 = 2;
/// The default of `reserve`: the number of bytes that stay free on a disk.
const RESERVE: u64 = 1 << 30;
/// The default of `output`: the number of bytes of a step's output that are kept.
const OUTPUT_MAX: u64 = 1 << 30;
/// The default of `processes`: how many processes a step may have. A build that starts several processes per core needs far fewer.
/// Many machines have only 32,768 process numbers in all, so the default is far below that.
const PROCESSES: u64 = 4_096;
/// The default of `open_files`: how many files a process of a step may have open. A larger number makes some programs slow, because
/// they close or poll every file that they may have.
const OPEN_FILES: u64 = 65_536;
/// The least value of `open_files`, because a compiler or an interpreter needs some dozens of files.
const OPEN_FILES_MIN: u64 = 64;

/// The default of `orphan_grace`: how long steps run on without their worker. It is enough to upgrade and restart the worker.
const ORPHAN_GRACE: Duration = Duration::from_secs(120);
/// The largest value of `cpus`. It is more than any machine has.
const CPUS_MAX: f64 = 1_000_000.0;
/// How long a step has to end by itself, from TERM to KILL.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(3);

/// The settings of a worker.
#[derive(Clone, Debug)]
pub struct Config {
    pub state: PathBuf,
    /// A program that becomes a supervisor if its first argument is [`crate::SUPERVISE`]. It is usually this one.
    pub program: PathBuf,
    pub total: Resources,
    /// The names of variables of the worker's environment that steps get too.
    pub pass: Vec<String>,
    pub labels: Vec<(String, String)>,
    /// The directory in which jobs run.
    pub workspaces: PathBuf,
    /// The number of bytes that must stay free on the disks of state and workspaces. With less, the worker takes no job.
    pub reserve: u64,
    /// How long steps run on without their worker.
    pub orphan_grace: Duration,
    /// The strongest tier of isolation that the worker offers.
    pub isolation: Tier,
    /// The number of bytes of one step's output that are kept.
    pub output_max: u64,
    /// The limits for the processes, the memory and the open files of one step.
    pub bounds: StepBounds,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{}: {text}", path.display())]
    Invalid { path: PathBuf, text: String },
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    slots: Option<u16>,
    cpus: Option<f64>,
    memory: Option<Size>,
    #[serde(default)]
    pass: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    workspace: Option<PathBuf>,
    reserve: Option<Size>,
    orphan_grace: Option<Span>,
    isolation: Option<Tier>,
    output: Option<Size>,
    processes: Option<u64>,
    step_memory: Option<Size>,
    open_files: Option<u64>,
}

impl Config {
    /// Reads the file in the state directory. If there is no file, every key has its default.
    pub fn load(state: &Path) -> Result<Config, ConfigError> {
        let path = state.join(CONFIG_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(ConfigError::Unreadable { path, cause }),
        };
        Config::parse(state, &text).map_err(|text| ConfigError::Invalid { path, text })
    }

    /// Like [`Config::load`], but from the text of a file.
    pub fn parse(state: &Path, text: &str) -> Result<Config, String> {
        let text = with_plain_line_ends(text);
        let file: File = toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let probed = probe_machine();
        if file.cpus.is_some_and(|cpus| !(cpus > 0.0 && cpus <= CPUS_MAX)) {
            return Err(format!("`cpus` must be above 0 and at most {CPUS_MAX}"));
        }
        let cpus_milli = file.cpus.map_or(probed.cpus_milli, |cpus| (cpus * 1000.0) as u32);
        let by_cpus = u16::try_from(cpus_milli / 1000).unwrap_or(u16::MAX) / CPUS_PER_SLOT;
        let slots = file.slots.unwrap_or(by_cpus.max(1));
        if let Some(text) = too_many_labels(&file.labels) {
            return Err(text);
        }
        if slots == 0 {
            return Err("`slots` must be at least 1: to stop taking jobs, drain the worker".to_owned());
        }
        if file.open_files.is_some_and(|files| files < OPEN_FILES_MIN) {
            return Err(format!("`open_files` must be at least {OPEN_FILES_MIN}"));
        }
        let bounds = StepBounds {
            processes: file.processes.unwrap_or(PROCESSES),
            // The rest of the memory is for the worker, and for other work of the machine.
            memory: file.step_memory.map_or(probed.memory / 10 * 9, |size| size.0),
            files: file.open_files.unwrap_or(OPEN_FILES),
            lack: None,
        };
        Ok(Config {
            state: state.to_owned(),
            // This path is also right if an upgrade has replaced the file.
            program: PathBuf::from("/proc/self/exe"),
            total: Resources { slots, cpus_milli, memory: file.memory.map_or(probed.memory, |size| size.0) },
            pass: file.pass,
            labels: file.labels.into_iter().collect(),
            workspaces: file.workspace.map_or_else(|| state.join("workspaces"), |path| state.join(path)),
            reserve: file.reserve.map_or(RESERVE, |size| size.0),
            orphan_grace: file.orphan_grace.map_or(ORPHAN_GRACE, |span| span.0),
            isolation: file.isolation.unwrap_or_default(),
            output_max: file.output.map_or(OUTPUT_MAX, |size| size.0),
            bounds,
        })
    }

    pub fn credential(&self) -> PathBuf {
        self.state.join(CREDENTIAL_FILE)
    }

    pub fn identity(&self) -> PathBuf {
        self.state.join(IDENTITY_FILE)
    }

    /// Returns the result of trying each tier. `try_out` tries one tier, and its error says what the machine lacks. A tier that the
    /// file does not allow is not tried.
    pub(crate) fn probes(&self, try_out: impl Fn(Tier) -> Result<(), String>) -> Vec<TierProbe> {
        // Each tier is tried twice, because a machine that has just started may be slow or short of processes for a moment.
        let lack = |tier| match tier <= self.isolation {
            true => try_out(tier).or_else(|_| try_out(tier)).err(),
            false => Some(format!("its worker.toml says isolation = \"{}\"", self.isolation)),
        };
        Tier::ALL.map(|tier| TierProbe { tier: tier.into(), lack: lack(tier) }).to_vec()
    }

    /// Returns the bounds of one step. `try_out` tries to measure a step, and its error says why the bounds cannot be enforced.
    pub(crate) fn probed_bounds(&self, try_out: impl Fn() -> Result<(), String>) -> StepBounds {
        // The measuring is tried twice, for the same reason as the tiers.
        StepBounds { lack: try_out().or_else(|_| try_out()).err(), ..self.bounds.clone() }
    }

    /// Returns the description of this worker for the master, with the results of trying the tiers and the limits of a step.
    pub fn description(&self, probes: Vec<TierProbe>, bounds: StepBounds) -> Description {
        let isolation = probes.iter().filter(|probe| probe.works()).map(|probe| probe.tier.clone()).collect();
        Description {
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            labels: self.labels.clone(),
            total: self.total,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            isolation,
            probes,
            bounds: Some(bounds),
        }
    }
}

/// Returns the default state directory. `None` means that there is no home directory.
pub(crate) fn default_state() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")))?;
    Some(base.join("guild/worker"))
}

fn probe_machine() -> Resources {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    let kib: u64 = total.and_then(|kib| kib.trim().parse().ok()).unwrap_or(0);
    let memory = cgroup::memory(Path::new("/")).map_or(kib * 1024, |limit| limit.min(kib * 1024));
    Resources { slots: 1, cpus_milli: u32::try_from(cpus * 1000).unwrap_or(u32::MAX), memory }
}

/// A size in the file: `"4GiB"`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
struct Size(u64);

/// A duration in the file: `"2m"`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
struct Span(Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl TryFrom<Written> for Size {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Size, &'static str> {
        match written {
            Written::Number(bytes) => Ok(Size(bytes)),
            Written::Text(text) => {
                Bytes::parse(&text).map(|size| Size(size.0)).ok_or("a size is written like \"4GiB\"")
            }
        }
    }
}

impl TryFrom<Written> for Span {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Span, &'static str> {
        match written {
            Written::Number(seconds) => Ok(Span(Duration::from_secs(seconds))),
            Written::Text(text) => {
                TimeSpan::parse(&text).map(|span| Span(span.0)).ok_or("a duration is written like \"2m\"")
            }
        }
    }
}

/// Returns why labels are too many or too long. A master refuses a worker with such labels, so the worker already says it when it
/// reads its file.
fn too_many_labels(labels: &BTreeMap<String, String>) -> Option<String> {
    if labels.len() > LABELS.most {
        return Some(format!("[labels] has {} labels; at most {} are taken", labels.len(), LABELS.most));
    }
    let is_long = |(name, value): &(&String, &String)| name.len().max(value.len()) > LABEL.most;
    let (name, _) = labels.iter().find(is_long)?;
    let name = LABEL.cut(name);
    Some(format!("the label `{name}` of [labels] is longer than {} bytes, in its name or its value", LABEL.most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::TierName;

    #[test]
    fn nothing_need_be_said() {
        let config = Config::parse(Path::new("/s"), "").unwrap();
        assert!(config.total.slots >= 1 && config.total.cpus_milli >= 1000 && config.total.memory > 0);
        assert_eq!(config.workspaces, Path::new("/s/workspaces"));
        let machine = probe_machine().memory;
        assert!(
            config.bounds.processes == 4096 && config.bounds.memory > machine / 2 && config.bounds.memory < machine
        );
        let all = config.probes(|_| Ok(()));
        assert_eq!(config.description(all, config.bounds.clone()).isolation, Tier::ALL.map(TierName::from));
    }

    #[test]
    fn everything_can_be_said() {
        let text = r#"
            slots = 3
            cpus = 1.5
            memory = "4GiB"
            pass = ["PROXY"]
            workspace = "/big"
            reserve = 0
            orphan_grace = "5s"
            isolation = "plain"
            output = "1MiB"
            processes = 500
            step_memory = "2GiB"
            open_files = 100
            [labels]
            gpu = "no"
        "#;
        let config = Config::parse(Path::new("/s"), text).unwrap();
        assert_eq!(config.total, Resources { slots: 3, cpus_milli: 1500, memory: 4 << 30 });
        assert_eq!((config.reserve, config.output_max), (0, 1 << 20));
        assert_eq!(config.bounds, StepBounds { processes: 500, memory: 2 << 30, files: 100, lack: None });
        assert_eq!(config.orphan_grace, Duration::from_secs(5));
        assert_eq!((config.workspaces, config.isolation), (PathBuf::from("/big"), Tier::Plain));
        assert_eq!(config.labels, [("gpu".to_owned(), "no".to_owned())]);
    }

    #[test]
    fn a_tier_is_offered_that_was_tried_and_works() {
        let offered = |text: &str, guard: Result<(), String>| {
            let config = Config::parse(Path::new("/s"), text).unwrap();
            let probes = config.probes(|tier| if tier == Tier::Guard { guard.clone() } else { Ok(()) });
            let lack = probes[1].lack.clone().unwrap_or_default();
            let words: Vec<String> =
                config.description(probes, config.bounds.clone()).isolation.iter().map(TierName::to_string).collect();
            (words.join(" "), lack)
        };
        let broken = || Err("it does not work here".to_owned());
        assert_eq!(offered("", Ok(())), ("plain guard".to_owned(), String::new()));
        assert_eq!(offered("", broken()), ("plain".to_owned(), "it does not work here".to_owned()));
        let unwanted = "its worker.toml says isolation = \"plain\"".to_owned();
        assert_eq!(offered("isolation = 'plain'", Ok(())), ("plain".to_owned(), unwanted));
    }

    #[test]
    fn line_ends_of_the_file_are_not_of_its_strings() {
        let config = Config::parse(Path::new("/s"), "slots = 2\r\n[labels]\r\nnote = \"\"\"a\r\nb\"\"\"\r\n").unwrap();
        assert_eq!(config.labels, [("note".to_owned(), "a\nb".to_owned())]);
        let error = Config::parse(Path::new("/s"), "slots = 1\rreserve = 0\r").unwrap_err();
        assert!(error.contains("carriage return"), "{error}");
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            ("slots = 1\nslot = 2\n", "line 2"),
            ("\nmemory = \"4GB\"\n", "line 2"),
            ("slots = 0", "at least 1"),
            ("open_files = 3", "at least 64"),
            ("reserve = \"99999999999TiB\"", "line 1"),
        ] {
            let error = Config::parse(Path::new("/s"), text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
