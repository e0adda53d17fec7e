//! Python, in an environment of its own: by tox, nox, uv or poetry where the project has chosen one, else by pip.

mod needs;
mod tests;

use super::Guess;
use super::folder::Folder;
use needs::Needs;
use tests::Runner;

const MARKS: [&str; 6] = ["pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "noxfile.py", "requirements.txt"];
/// Makes the environment. It is ignored by nobody's rules, so it has the name that most people ignore.
const ENVIRONMENT: &str = "python3 -m venv .venv";

pub(super) fn guess(folder: &Folder) -> Option<Guess> {
    let mark = folder.first(&MARKS)?;
    let project = folder.toml("pyproject.toml");
    if mark == "pyproject.toml" && is_settings_of_tools(folder, &project) {
        return None;
    }
    let guess = Guess::new("python", mark);
    Some(match chosen(folder, &project) {
        Some((file, program)) => by_tool(guess, file, program),
        None => by_hand(folder, &project, guess),
    })
}

/// Many repositories of other languages keep the settings of a linter in a `pyproject.toml`.
fn is_settings_of_tools(folder: &Folder, project: &toml::Table) -> bool {
    let poetry = project.get("tool").and_then(|tools| tools.get("poetry"));
    !project.contains_key("project")
        && !project.contains_key("build-system")
        && poetry.is_none()
        && folder.first(&MARKS[1..]).is_none()
}

/// What runs the tests by the project's own choice, and the file that says so.
fn chosen(folder: &Folder, project: &toml::Table) -> Option<(&'static str, &'static str)> {
    let tool = |name: &str| project.get("tool").is_some_and(|tools| tools.get(name).is_some());
    if folder.has("tox.ini") {
        return Some(("tox.ini", "tox"));
    }
    if tool("tox") {
        return Some(("pyproject.toml", "tox"));
    }
    if folder.text("setup.cfg").contains("[tox:tox]") {
        return Some(("setup.cfg", "tox"));
    }
    [("noxfile.py", "nox"), ("uv.lock", "uv"), ("poetry.lock", "poetry")].into_iter().find(|(file, _)| folder.has(file))
}

fn by_tool(guess: Guess, file: &str, program: &str) -> Guess {
    let guess = if guess.saw.iter().any(|saw| saw == file) { guess } else { guess.saw(file) };
    match program {
        "uv" => guess.step("test", "uv run --frozen python -m pytest"),
        "poetry" => guess.step("install", "poetry install").step("test", "poetry run python -m pytest"),
        program => {
            // tox's `py` is whatever Python the environment has, so no other version need be there
            let run = if program == "tox" { "tox run -e py" } else { program };
            guess
                .step("environment", format!("{ENVIRONMENT} && .venv/bin/python -m pip install {program}"))
                .step("test", format!(".venv/bin/{run}"))
        }
    }
}

fn by_hand(folder: &Folder, project: &toml::Table, mut guess: Guess) -> Guess {
    let runner = Runner::find(folder, project);
    let needs = Needs::find(folder, project);
    guess.saw.extend(needs.files.iter().filter(|file| !guess.saw.contains(file)).cloned().collect::<Vec<_>>());
    if needs.is_empty() && runner != Runner::Pytest {
        // nothing has to be installed, so nothing has to be fetched
        return match folder.has_folder("src") {
            true => guess.key("env = { PYTHONPATH = \"src\" } # nothing needs to be installed"),
            false => guess,
        }
        .step("test", format!("python3 {}", runner.arguments()));
    }
    let tool = if runner == Runner::Pytest { " pytest" } else { "" };
    // where pytest alone is wanted, that of the machine will do, and nothing has to be fetched
    let shared = if needs.is_empty() { " --system-site-packages" } else { "" };
    guess
        .step("environment", format!("{ENVIRONMENT}{shared}"))
        .step("install", format!(".venv/bin/python -m pip install{}{tool}", needs.arguments()))
        .step("test", format!(".venv/bin/python {}", runner.arguments()))
}
