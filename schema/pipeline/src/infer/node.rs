//! JavaScript and TypeScript, with npm, pnpm or yarn, as `packageManager` or the lock file says.

use super::Guess;
use super::folder::Folder;
use serde_json::Value;

/// The text in the script `test` that `npm init` writes if there are no tests.
const NO_TEST: &str = "no test specified";

pub(super) fn guess(folder: &Folder) -> Option<Guess> {
    if !folder.has("package.json") {
        return None;
    }
    let package: Value = serde_json::from_str(&folder.text("package.json")).ok()?;
    let script = |name: &str| package["scripts"][name].as_str().filter(|run| !run.contains(NO_TEST));
    if script("test").is_none() && script("build").is_none() {
        return None;
    }
    let manager = Manager::of(folder, &package);
    let mut guess = Guess::new("node", "package.json");
    guess.saw.extend(manager.lock.map(str::to_owned));
    guess = match manager.install(&package) {
        Some(install) => guess.step("install", install),
        None => guess,
    };
    for name in ["build", "test"].into_iter().filter(|name| script(name).is_some()) {
        guess = guess.step(name, format!("{} run {name}", manager.program));
    }
    Some(guess)
}

struct Manager {
    program: &'static str,
    lock: Option<&'static str>,
    /// Whether yarn is of version 2 or later, which has other options.
    is_berry: bool,
}

impl Manager {
    fn of(folder: &Folder, package: &Value) -> Manager {
        let lock = folder.first(&["pnpm-lock.yaml", "yarn.lock", "package-lock.json", "npm-shrinkwrap.json"]);
        let named = package["packageManager"].as_str().unwrap_or_default();
        let program = match (named.split('@').next(), lock) {
            (Some("pnpm"), _) | (None | Some(""), Some("pnpm-lock.yaml")) => "pnpm",
            (Some("yarn"), _) | (None | Some(""), Some("yarn.lock")) => "yarn",
            (None | Some(_), _) => "npm",
        };
        let is_berry = folder.has(".yarnrc.yml") || folder.text("yarn.lock").contains("__metadata:");
        Manager { program, lock, is_berry }
    }

    /// Returns the command that installs the dependencies. `None` means that there are none.
    fn install(&self, package: &Value) -> Option<&'static str> {
        let needs = ["dependencies", "devDependencies", "optionalDependencies", "workspaces"];
        if self.lock.is_none() && needs.iter().all(|key| package[key].is_null()) {
            return None;
        }
        Some(match (self.program, self.lock.is_some()) {
            ("pnpm", true) => "pnpm install --frozen-lockfile",
            ("pnpm", false) => "pnpm install",
            ("yarn", true) if self.is_berry => "yarn install --immutable",
            ("yarn", true) => "yarn install --frozen-lockfile",
            ("yarn", false) => "yarn install",
            (_, true) => "npm ci",
            (_, false) => "npm install --no-package-lock",
        })
    }
}
