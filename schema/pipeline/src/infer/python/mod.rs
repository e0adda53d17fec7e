//! Python, in an environment of its own. If the project uses tox, nox, uv or poetry, that tool makes it, and otherwise pip.

mod needs;
mod tests;

use super::Guess;
use super::folder::Folder;
use needs::Needs;
use tests::Runner;

const MARKS: [&str; 6] = ["pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "noxfile.py", "requirements.txt"];
/// The command that makes the environment. The directory `.venv` has the name that most projects ignore in git.
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

/// Whether a `pyproject.toml` holds only settings of tools, such as a linter. Many repositories of other languages have one.
fn is_settings_of_tools(folder: &Folder, project: &toml::Table) -> bool {
    let poetry = project.get("tool").and_then(|tools| tools.get("poetry"));
    !project.contains_key("project")
        && !project.contains_key("build-system")
        && poetry.is_none()
        && folder.first(&MARKS[1..]).is_none()
}

/// Returns the tool with which the project runs its tests, and the file that names the tool.
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
            // the environment `py` of tox uses the Python at hand, so no other version must be installed
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
        // nothing has to be installed, so the step needs no network
        return match folder.has_folder("src") {
            true => guess.key("env = { PYTHONPATH = \"src\" } # nothing needs to be installed"),
            false => guess,
        }
        .step("test", format!("python3 {}", runner.arguments()));
    }
    let tool = if runner == Runner::Pytest { " pytest" } else { "" };
    // if only pytest is needed, the one of the machine is enough, so the step needs no network if the machine has it
    let shared = if needs.is_empty() { " --system-site-packages" } else { "" };
    guess
        .step("environment", format!("{ENVIRONMENT}{shared}"))
        .step("install", format!(".venv/bin/python -m pip install{}{tool}", needs.arguments()))
        .step("test", format!(".venv/bin/python {}", runner.arguments()))
}
