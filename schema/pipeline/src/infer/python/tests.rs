//! Finds the program that runs the tests of a Python project: pytest if anything asks for it, and otherwise a module of Python.

use super::super::folder::Folder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    Pytest,
    /// The tests use only `unittest`.
    Unittest {
        folder: &'static str,
        is_package: bool,
    },
    /// There are no tests, so the step at least compiles every file.
    Compile,
}

/// The folders in which people keep their tests. The empty name is the top.
const FOLDERS: [&str; 3] = ["tests", "test", ""];
/// The most test files that are read to find out whether they use only `unittest`.
const FILES_MAX: usize = 200;
/// The most folders in which a package with tests within it is looked for.
const PACKAGES_MAX: usize = 50;

impl Runner {
    pub(super) fn find(folder: &Folder, project: &toml::Table) -> Runner {
        let files = FOLDERS.into_iter().map(|name| (name, tests(folder, name))).find(|(_, files)| !files.is_empty());
        if asks_for_pytest(folder, project) || files.is_none() && has_tests_within(folder) {
            return Runner::Pytest;
        }
        let Some((name, files)) = files else { return Runner::Compile };
        let here = folder.below(name);
        let plain = files.iter().take(FILES_MAX).all(|file| file.starts_with("test") && is_unittest(&here.text(file)));
        if plain { Runner::Unittest { folder: name, is_package: here.has("__init__.py") } } else { Runner::Pytest }
    }

    /// Returns the arguments after `python3`.
    pub(super) fn arguments(self) -> String {
        match self {
            Runner::Pytest => "-m pytest".to_owned(),
            Runner::Unittest { folder: "", .. } => "-m unittest".to_owned(),
            // tests in a package may import its modules by the name of the package
            Runner::Unittest { folder, is_package: true } => format!("-m unittest discover -s {folder} -t ."),
            Runner::Unittest { folder, is_package: false } => format!("-m unittest discover -s {folder}"),
            Runner::Compile => "-m compileall -q .".to_owned(),
        }
    }
}

fn tests(folder: &Folder, name: &str) -> Vec<String> {
    let mut files = folder.below(name).files();
    files.retain(|file| file.starts_with("test") && file.ends_with(".py") || file.ends_with("_test.py"));
    files
}

/// Whether a package contains its tests, as in `calc/tests/test_it.py` or `src/calc/tests/test_it.py`.
fn has_tests_within(folder: &Folder) -> bool {
    let packages = |place: Folder| {
        let names = place.folders(PACKAGES_MAX).into_iter();
        names.map(move |name| place.below(&name)).filter(|package| package.has("__init__.py"))
    };
    let mut packages = [".", "src"].into_iter().flat_map(|place| packages(folder.below(place)));
    packages.any(|package| FOLDERS[..2].iter().any(|name| !tests(&package, name).is_empty()))
}

fn asks_for_pytest(folder: &Folder, project: &toml::Table) -> bool {
    let settings = project.get("tool").is_some_and(|tools| tools.get("pytest").is_some());
    let files = ["pytest.ini", "conftest.py", "tests/conftest.py", "test/conftest.py"];
    settings || folder.first(&files).is_some() || folder.text("setup.cfg").contains("[tool:pytest]")
}

fn is_unittest(text: &str) -> bool {
    text.contains("unittest") && !text.contains("import pytest") && !text.contains("from pytest")
}
