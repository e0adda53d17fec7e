//! The packages that a Python project needs for its tests: the project itself, with its extra for tests, and lists of requirements.

use super::super::folder::Folder;

/// The usual names of the extra that tests need, in the order of preference.
const EXTRAS: [&str; 5] = ["test", "tests", "testing", "dev", "develop"];
/// The usual names of lists of requirements for tests, in the order of preference.
const LISTS: [&str; 8] = [
    "requirements-test.txt",
    "requirements-dev.txt",
    "test-requirements.txt",
    "dev-requirements.txt",
    "requirements_dev.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "requirements/dev.txt",
];

#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Whether the project itself must be installed, because it depends on other packages or must be built.
    is_package: bool,
    extra: Option<&'static str>,
    /// The lists of requirements, which `pip install -r` reads.
    pub(super) files: Vec<String>,
}

impl Needs {
    pub(super) fn find(folder: &Folder, project: &toml::Table) -> Needs {
        let general = folder.has("requirements.txt").then_some("requirements.txt");
        let lists = general.into_iter().chain(LISTS.into_iter().find(|file| folder.has(file)));
        let extra = EXTRAS.into_iter().find(|extra| has_extra(folder, project, extra));
        Needs {
            is_package: extra.is_some() || depends(folder, project),
            extra,
            files: lists.map(str::to_owned).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_package && self.files.is_empty()
    }

    /// Returns the arguments after `pip install`.
    pub(super) fn arguments(&self) -> String {
        let itself = match (self.is_package, self.extra) {
            (true, Some(extra)) => format!(" -e '.[{extra}]'"),
            (true, None) => " -e .".to_owned(),
            (false, _) => String::new(),
        };
        self.files.iter().fold(itself, |text, file| text + &format!(" -r {file}"))
    }
}

/// Whether the project names other packages, or a backend that has to build it.
fn depends(folder: &Folder, project: &toml::Table) -> bool {
    let listed = |key: &str| project.get("project").and_then(|project| project.get(key));
    let some = |value: Option<&toml::Value>| value.and_then(toml::Value::as_array).is_some_and(|list| !list.is_empty());
    let dynamic = listed("dynamic").and_then(toml::Value::as_array);
    let is_dynamic = dynamic.is_some_and(|keys| keys.iter().any(|key| key.as_str() == Some("dependencies")));
    let backend = project.get("build-system").and_then(|system| system.get("build-backend"));
    let backend = backend.and_then(toml::Value::as_str).unwrap_or("setuptools");
    let builds = ["mesonpy", "scikit_build_core", "maturin", "poetry"].iter().any(|name| backend.starts_with(name));
    some(listed("dependencies"))
        || is_dynamic
        || builds
        || folder.text("setup.py").contains("install_requires")
        || folder.text("setup.py").contains("ext_modules")
        || folder.text("setup.cfg").contains("install_requires")
}

fn has_extra(folder: &Folder, project: &toml::Table, extra: &str) -> bool {
    let extras = project.get("project").and_then(|project| project.get("optional-dependencies"));
    extras.is_some_and(|extras| extras.get(extra).is_some())
        || in_setup_cfg(&folder.text("setup.cfg"), extra)
        || in_setup_py(&folder.text("setup.py"), extra)
}

/// Whether `setup.cfg` has this key of `[options.extras_require]`.
fn in_setup_cfg(text: &str, extra: &str) -> bool {
    let section = text.lines().skip_while(|line| line.trim() != "[options.extras_require]").skip(1);
    let keys = section.take_while(|line| !line.starts_with('['));
    keys.filter(|line| !line.starts_with(char::is_whitespace))
        .any(|line| line.split_once(['=', ':']).is_some_and(|(key, _)| key.trim() == extra))
}

/// Whether `extras_require` in a `setup.py` has this key, in the form in which most people write it.
fn in_setup_py(text: &str, extra: &str) -> bool {
    let Some((_, after)) = text.split_once("extras_require") else { return false };
    let after = &after[..after.find('}').unwrap_or(after.len())];
    ["'", "\""].iter().any(|quote| {
        let key = format!("{quote}{extra}{quote}");
        after.split(&key).skip(1).any(|rest| rest.trim_start().starts_with(':'))
    })
}
