//! The environment of a step, built from empty. It has the variables that any program needs, and those that name the build. The
//! variables that the worker's owner passes on come next, and those of the pipeline last.

use schema::values::{Assignment, ShortRef, StepPlan};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The variable that marks every process of an attempt.
pub(crate) const ATTEMPT: &str = "GUILD_ATTEMPT";

/// The variable with the directory of the objects that the checkout's `.git` borrows, because a container with the checkout needs
/// it too.
pub(crate) const GIT_OBJECTS: &str = "GUILD_GIT_OBJECTS";

const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The part of a step's environment that comes from this machine. It is probed once, when the worker starts.
#[derive(Clone, Debug)]
pub(crate) struct HostEnvironment {
    entries: Vec<(String, String)>,
}

impl HostEnvironment {
    /// Probes the worker's own environment. `pass` holds the names of further variables that steps get too.
    pub(crate) fn probe(pass: &[String]) -> HostEnvironment {
        HostEnvironment::new(pass, |name| std::env::var(name).ok(), Path::is_dir)
    }

    fn new(pass: &[String], own: impl Fn(&str) -> Option<String>, is_dir: impl Fn(&Path) -> bool) -> HostEnvironment {
        // In a container whose user has no account these variables are empty.
        let named = |name: &str| own(name).filter(|value| !value.is_empty());
        let home = named("HOME").unwrap_or_else(|| "/".to_owned());
        let user = named("USER").or_else(|| named("LOGNAME")).unwrap_or_else(|| "guild".to_owned());
        let mut entries = vec![
            ("PATH".to_owned(), named("PATH").unwrap_or_else(|| PATH_DEFAULT.to_owned())),
            ("USER".to_owned(), user),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("CI".to_owned(), "true".to_owned()),
        ];
        for (name, default) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let default = Path::new(&home).join(default);
            let found = named(name).or_else(|| is_dir(&default).then(|| default.display().to_string()));
            entries.extend(found.map(|value| (name.to_owned(), value)));
        }
        entries.push(("HOME".to_owned(), home));
        entries.extend(pass.iter().filter_map(|name| Some((name.clone(), own(name)?))));
        HostEnvironment { entries }
    }

    /// Returns the whole environment of a step. A later variable replaces an earlier one of the same name.
    pub(crate) fn environment(
        &self,
        assignment: &Assignment,
        step: &StepPlan,
        temporary: &Path,
    ) -> Vec<(String, String)> {
        let mut all = BTreeMap::new();
        all.extend(self.entries.iter().cloned());
        all.insert("TMPDIR".to_owned(), temporary.display().to_string());
        all.extend(names_of(assignment).into_iter().map(|(name, value)| (name.to_owned(), value)));
        all.extend(assignment.job.env.iter().cloned());
        all.extend(step.env.iter().cloned());
        // The worker finds the processes of a step by this variable, so the pipeline must not change it.
        all.insert(ATTEMPT.to_owned(), token_hex(&assignment.token));
        all.retain(|name, value| is_possible(name, value));
        all.into_iter().collect()
    }
}

/// Returns the entry that marks each process of this attempt in its environment.
pub(crate) fn mark(token: &[u8; 16]) -> String {
    format!("{ATTEMPT}={}", token_hex(token))
}

pub(crate) fn token_hex(token: &[u8; 16]) -> String {
    data_encoding::HEXLOWER.encode(token)
}

/// Returns the token whose hexadecimal form is the name of an attempt. `None` means that the name is not an attempt's.
pub(crate) fn token_of(name: &str) -> Option<[u8; 16]> {
    data_encoding::HEXLOWER.decode(name.as_bytes()).ok()?.try_into().ok()
}

/// Returns the directory for the attempt's temporary files. Its path is short, because programs make sockets in it.
pub(crate) fn temporary(state: &Path, token: &[u8; 16]) -> PathBuf {
    state.join("tmp").join(&token_hex(token)[..12])
}

fn names_of(assignment: &Assignment) -> Vec<(&'static str, String)> {
    let source = assignment.stamp.sources.first().cloned().unwrap_or_default();
    let short = ShortRef::of(&source.ref_name);
    vec![
        ("GUILD_PROJECT", assignment.project.clone()),
        ("GUILD_BUILD", assignment.build.to_string()),
        ("GUILD_JOB", assignment.job.name.clone()),
        ("GUILD_BRANCH", short.branch().unwrap_or_default().to_owned()),
        ("GUILD_TAG", short.tag().unwrap_or_default().to_owned()),
        ("GUILD_REF", source.ref_name.clone()),
        ("GUILD_REVISION", source.revision.clone()),
    ]
}

/// Whether the kernel can pass this variable to a program. If it cannot, the step could not start at all.
fn is_possible(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::{Command, JobPlan, SourceRevision, SourceStamp, Trust};

    fn assignment(ref_name: &str) -> Assignment {
        let source =
            SourceRevision { ref_name: ref_name.to_owned(), revision: "3f9c".to_owned(), ..SourceRevision::default() };
        let env = vec![("WHO".to_owned(), "job".to_owned()), (ATTEMPT.to_owned(), "forged".to_owned())];
        Assignment {
            token: [0xab; 16],
            project: "pyfoo".to_owned(),
            build: 412,
            attempt: 1,
            job: JobPlan { name: "test@linux".to_owned(), env, ..JobPlan::default() },
            stamp: SourceStamp { sources: vec![source] },
            lane: String::new(),
            trust: Trust::Trusted,
            term_ms: 0,
            plan_version: 0,
            isolation: None,
        }
    }

    fn step(env: &[(&str, &str)]) -> StepPlan {
        StepPlan {
            name: String::new(),
            command: Command::Exec(Vec::new()),
            env: env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            dir: String::new(),
            timeout_ms: 0,
            idle_ms: 0,
            always: false,
            continue_on_failure: false,
            reports: Vec::new(),
        }
    }

    #[test]
    fn from_empty_and_in_order() {
        let own = |name: &str| match name {
            "HOME" => Some("/home/ci".to_owned()),
            "PATH" => Some("/bin".to_owned()),
            "PROXY" => Some("http://proxy".to_owned()),
            _ => None,
        };
        let host =
            HostEnvironment::new(&["PROXY".to_owned(), "ABSENT".to_owned()], own, |path| path.ends_with(".cargo"));
        let step = step(&[("WHO", "step"), ("BAD=NAME", "x"), ("NUL", "\0")]);
        let all = host.environment(&assignment("refs/heads/feature/x"), &step, Path::new("/tmp/t"));
        let text: Vec<String> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = "CARGO_HOME=/home/ci/.cargo CI=true GUILD_ATTEMPT=abababababababababababababababab \
            GUILD_BRANCH=feature/x GUILD_BUILD=412 GUILD_JOB=test@linux GUILD_PROJECT=pyfoo \
            GUILD_REF=refs/heads/feature/x GUILD_REVISION=3f9c GUILD_TAG= HOME=/home/ci LANG=C.UTF-8 PATH=/bin \
            PROXY=http://proxy TMPDIR=/tmp/t USER=guild WHO=step";
        assert_eq!(text.join(" "), expected);
    }

    /// C59: a container whose user has no account has `HOME=` and no user.
    #[test]
    fn what_is_empty_is_as_if_it_were_not_there() {
        let host = HostEnvironment::new(&[], |_| Some(String::new()), |_| false);
        let all = host.environment(&assignment("refs/heads/main"), &step(&[]), Path::new("/tmp"));
        let value = |name: &str| all.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        assert_eq!((value("HOME"), value("USER"), value("PATH")), (Some("/"), Some("guild"), Some(PATH_DEFAULT)));
        assert_eq!(value("CARGO_HOME"), None);
    }

    #[test]
    fn a_tag_is_no_branch() {
        let host = HostEnvironment::new(&[], |_| None, |_| false);
        let all = host.environment(&assignment("refs/tags/v1"), &step(&[]), Path::new("/tmp"));
        let value = |name: &str| all.iter().find(|(found, _)| found == name).unwrap().1.as_str();
        assert_eq!((value("GUILD_TAG"), value("GUILD_BRANCH"), value("GUILD_REF")), ("v1", "", "refs/tags/v1"));
    }
}
