//! The unit with which systemd runs a worker. It is always a unit of the user that the worker runs as. A user may make scopes
//! only under their own service manager, and each worker keeps its steps in one (`supervisor::scope`).

use crate::config::default_state;
use std::path::Path;
use system::systemd::unit::{self, Instance, UnitError, UnitFile, argument, line};

/// Prepares the unit that runs the worker of a state directory, but does not write it. Fails if a unit of that name has another
/// text.
pub(crate) fn prepare(state: &Path) -> Result<UnitFile, UnitError> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        |cause| UnitError::File { path, cause }
    };
    let state = std::path::absolute(state).map_err(wrong(state))?;
    let program = std::env::current_exe().map_err(wrong(Path::new("/proc/self/exe")))?;
    let is_usual = default_state().and_then(|usual| std::path::absolute(usual).ok()).as_ref() == Some(&state);
    let name = if is_usual { "guild-worker".to_owned() } else { name_of(&state) };
    UnitFile::new(Instance::User, &name, text(&name, &program, &state)?)
}

/// Returns the name of the unit for a worker that is not the only one of its user.
fn name_of(state: &Path) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() || "_.-".contains(char) { char } else { '-' };
    let last = state.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    format!("guild-worker-{}", last.chars().map(plain).collect::<String>())
}

/// Returns the text that says what to do with a unit that was written.
pub(crate) fn told(unit: &UnitFile) -> String {
    let mut text = format!("unit          {}\nnext          {}\n", unit.path().display(), unit.next());
    match rustix::process::geteuid().is_root() {
        true => {
            text.push_str("              every step runs as root, because you do: give the worker a user of its own\n")
        }
        false => text.push_str("              loginctl enable-linger    (to run while you are not logged in)\n"),
    }
    text
}

fn text(name: &str, program: &Path, state: &Path) -> Result<String, UnitError> {
    Ok(format!(
        "\
# Written by `guild-worker join --unit`. To change something, run `systemctl --user edit {name}`: your changes then stand beside
# this file. Steps run in a scope beside this unit, in the same slice. To limit them too, set `Slice=` here and limit that slice.
[Unit]
Description=Guild worker in {place}
# the worker waits for a master that is away, however long that takes
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={program} run --state {state}
TimeoutStopSec=20
WatchdogSec=30
# a worker that was drained ends successfully, and is not restarted
Restart=on-failure
RestartSec=2
# a restart mends neither a file with errors nor a credential that is no longer valid
RestartPreventExitStatus=2 5
# if no scope could be made, steps run in this unit: they go on without their worker, and the next worker takes them up
KillMode=process
OOMPolicy=continue

[Install]
WantedBy={target}
",
        place = line(state)?,
        program = unit::program(program)?,
        state = argument(state)?,
        target = Instance::User.target(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_names_the_program_and_its_state() {
        let text = text("guild-worker", Path::new("/opt/guild-worker"), Path::new("/home/a $b/100%")).unwrap();
        for expected in [
            "Description=Guild worker in /home/a $b/100%%\n",
            "ExecStart=/opt/guild-worker run --state \"/home/a $$b/100%%\"\n",
            "KillMode=process\n",
            "WantedBy=default.target\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn workers_of_one_user_have_units_of_their_own() {
        assert_eq!(name_of(Path::new("/home/a/second")), "guild-worker-second");
        assert_eq!(name_of(Path::new("/home/a/big one")), "guild-worker-big-one");
    }
}
