//! The unit with which systemd runs a worker, always one of the user that it runs as: a user may make scopes only under
//! their own service manager, and each worker keeps its steps in one (`supervisor::scope`).

use schema::systemd::unit::{self, Instance, UnitError, UnitFile, argument, line};
use std::path::Path;

const NAME: &str = "guild-worker";

/// A unit that is ready to be written, for the worker of a state directory. An error where there is another.
pub(crate) fn prepare(state: &Path) -> Result<UnitFile, UnitError> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        |cause| UnitError::File { path, cause }
    };
    let state = std::path::absolute(state).map_err(wrong(state))?;
    let program = std::env::current_exe().map_err(wrong(Path::new("/proc/self/exe")))?;
    UnitFile::new(Instance::User, NAME, text(&program, &state)?)
}

/// What to do with a unit that was written.
pub(crate) fn told(unit: &UnitFile) -> String {
    let mut text = format!("unit          {}\nnext          {}\n", unit.path().display(), unit.next());
    match rustix::process::geteuid().is_root() {
        true => text.push_str("              as root, and so every step runs as root: better is a user of its own\n"),
        false => text.push_str("              loginctl enable-linger    (to run while you are not logged in)\n"),
    }
    text
}

fn text(program: &Path, state: &Path) -> Result<String, UnitError> {
    Ok(format!(
        "\
# Written by `guild-worker join --unit`. What is to be otherwise goes beside it: `systemctl --user edit {NAME}`. Steps run in
# a scope beside this unit, in the same slice: what is to limit them too is the slice's (`Slice=` here, limits there).
[Unit]
Description=Guild worker in {place}
# a master that is away comes back: it is never given up
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={program} run --state {state}
TimeoutStopSec=20
WatchdogSec=30
# not when it was drained, which ends it well
Restart=on-failure
RestartSec=2
# neither a file with errors nor a credential that was taken back mends itself
RestartPreventExitStatus=2 5
# where no scope could be made, steps run in this unit: they go on without their worker, and the next one takes them up
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
        let text = text(Path::new("/opt/guild-worker"), Path::new("/home/a $b/100%")).unwrap();
        for expected in [
            "Description=Guild worker in /home/a $b/100%%\n",
            "ExecStart=/opt/guild-worker run --state \"/home/a $$b/100%%\"\n",
            "KillMode=process\n",
            "WantedBy=default.target\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
