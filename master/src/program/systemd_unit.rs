//! The unit with which systemd runs a master: its text, the user that the master runs as, and the directory of its credentials.
//! `guild-master init --unit` writes it.

use crate::config::CREDENTIALS;
use crate::keep::installation::create_private;
use rustix::fs::{Gid, Uid};
use rustix::process::geteuid;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use system::systemd::unit::{
    self, Instance, UnitError, UnitFile, argument, line, systemctl_version, told_of_reloads, word,
};

const NAME: &str = "guild-master";
/// The folder, in the master's own directory, of the secret files that a master file may name.
const CREDENTIALS_DIR: &str = "credentials";
/// The folder of the secret files if the master's directory belongs to another user. Root reads them for the master, so a path that this
/// user controls could lead root elsewhere.
const CREDENTIALS_OF_ROOT: &str = "/etc/guild-master/credentials";

/// `UnitValues` holds what goes into the text of a unit.
#[derive(Clone, Copy, Debug)]
struct UnitValues<'a> {
    instance: Instance,
    program: &'a Path,
    /// The directory of the master file.
    dir: &'a Path,
    credentials: &'a Path,
    /// The user that the master runs as. `None` means the user of the instance.
    user: Option<&'a str>,
    /// The version of systemd, as `systemctl --version` prints it.
    systemd: &'a str,
}

/// A `Prepared` is a unit that is ready to be written.
#[derive(Debug)]
pub struct Prepared {
    file: UnitFile,
    instance: Instance,
    dir: PathBuf,
    credentials: PathBuf,
    owner: Option<Owner>,
}

impl Prepared {
    /// Prepares the unit for an installation in `dir`, which may not exist yet. Changes nothing. If `instance` is `None`, root gets a
    /// system unit, and other users get a user unit.
    pub fn new(dir: &Path, instance: Option<Instance>) -> Result<Prepared, UnitError> {
        let is_root = geteuid().is_root();
        let instance = instance.unwrap_or(if is_root { Instance::System } else { Instance::User });
        let wrong = |path: &Path| {
            let path = path.to_owned();
            |cause| UnitError::File { path, cause }
        };
        let dir = std::path::absolute(dir).map_err(wrong(dir))?;
        let program = std::env::current_exe().map_err(wrong(Path::new("/proc/self/exe")))?;
        let owner = (is_root && instance == Instance::System).then(|| Owner::of(&dir)).flatten();
        let user = owner.as_ref().map(|owner| owner.name.as_str());
        let credentials = match user {
            Some(_) => PathBuf::from(CREDENTIALS_OF_ROOT),
            None => dir.join(CREDENTIALS_DIR),
        };
        let (program, systemd) = (&program, &systemctl_version());
        let text = text(UnitValues { instance, program, dir: &dir, credentials: &credentials, user, systemd })?;
        Ok(Prepared { file: UnitFile::new(instance, NAME, text)?, instance, dir, credentials, owner })
    }

    /// Writes the unit, and makes the directory for credentials. From here on this process runs as the master's user, so that this user
    /// owns the files that it makes.
    pub fn write(&self) -> Result<(), UnitError> {
        let wrong = |path: &Path, cause| UnitError::File { path: path.to_owned(), cause };
        let private = |dir: &Path| create_private(dir).map_err(|error| wrong(dir, io::Error::other(error)));
        private(&self.dir)?;
        private(&self.credentials)?;
        self.file.write()?;
        match &self.owner {
            Some(owner) => owner.take_over().map_err(|cause| wrong(&self.dir, cause)),
            None => Ok(()),
        }
    }

    /// Returns the text for the person: where the unit is, whom the master runs as, and how to go on.
    pub fn told(&self) -> String {
        let user = match (self.instance, &self.owner) {
            (Instance::User, _) => String::new(),
            (Instance::System, Some(owner)) => {
                format!("it runs as    {}, who owns the master's directory\n", owner.name)
            }
            (Instance::System, None) => "it runs as    root, who owns the master's directory\n".to_owned(),
        };
        format!(
            "unit          {}\n{user}secrets       {}\nnext          {}",
            self.file.path().display(),
            self.credentials.display(),
            self.file.next(),
        )
    }
}

/// An `Owner` is a user other than root to whom the directory of an installation belongs.
#[derive(Debug)]
struct Owner {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Owner {
    fn of(dir: &Path) -> Option<Owner> {
        let found = std::fs::metadata(dir).ok().filter(|found| found.uid() != 0)?;
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let account = accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
            (uid.parse() == Ok(found.uid())).then(|| (name.to_owned(), gid.parse().unwrap_or(found.gid())))
        });
        // a user without an account goes by its number
        let (name, gid) = account.unwrap_or_else(|| (found.uid().to_string(), found.gid()));
        Some(Owner { name, uid: Uid::from_raw(found.uid()), gid: Gid::from_raw(gid) })
    }

    /// Gives this thread, and the threads that it will start, the identity of the owner for good.
    fn take_over(&self) -> io::Result<()> {
        rustix::thread::set_thread_groups(&[self.gid])?;
        rustix::thread::set_thread_gid(self.gid)?;
        rustix::thread::set_thread_uid(self.uid)?;
        Ok(())
    }
}

fn text(wanted: UnitValues<'_>) -> Result<String, UnitError> {
    let UnitValues { instance, program, dir, credentials, user, systemd } = wanted;
    let (network, user, protection) = match instance {
        Instance::System => (
            "Wants=network-online.target\nAfter=network-online.target\n",
            user.map_or_else(String::new, |user| format!("User={user}\n")),
            protection(dir)?,
        ),
        // a user instance has no such target, and may not make its own view of the files everywhere
        Instance::User => ("", String::new(), String::new()),
    };
    Ok(format!(
        "\
# Written by `guild-master init --unit`. To change a setting, use `systemctl edit {NAME}`.
[Unit]
Description=Guild master in {place}
{network}# systemd never gives up, because the cause of an end may pass, for example a full disk
StartLimitIntervalSec=0

[Service]
{kind}
ExecStart={program} run --config {config}
{user}# a store of an older version is brought up to date first, which may take long
TimeoutStartSec=infinity
# the master stops within 10 s
TimeoutStopSec=20
WatchdogSec=30
Restart=always
RestartSec=2
# a master file with errors does not mend itself
RestartPreventExitStatus=2
# the master ends in order by itself, and then systemd kills what it left running
KillMode=mixed
# each connection takes one file descriptor
LimitNOFILE=524288
UMask=0077
# a key of the master file that names a secret may give the bare name of a file in this directory
LoadCredential={CREDENTIALS}:{credentials}
NoNewPrivileges=yes
{protection}
[Install]
WantedBy={target}
",
        place = line(dir)?,
        kind = told_of_reloads(systemd),
        program = unit::program(program)?,
        config = argument(&dir.join("master.toml"))?,
        credentials = line(credentials)?,
        target = instance.target(),
    ))
}

/// Returns the settings that take away what a master, git and ssh do not need.
fn protection(dir: &Path) -> Result<String, UnitError> {
    let is_temporary = ["/tmp", "/var/tmp"].iter().any(|top| dir.starts_with(top));
    // with a `/tmp` of its own, the master would not find its directory there
    let tmp = if is_temporary { "" } else { "PrivateTmp=yes\n" };
    Ok(format!(
        "\
{tmp}PrivateDevices=yes
ProtectSystem=strict
# if the master file names another `state`, add that directory
ReadWritePaths={}
ProtectClock=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
LockPersonality=yes
RestrictRealtime=yes
",
        word(dir)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(instance: Instance, dir: &str, user: Option<&str>) -> String {
        let (program, dir, systemd) = (Path::new("/opt/a b/guild-master"), Path::new(dir), "systemd 257 (257)");
        text(UnitValues { instance, program, dir, credentials: &dir.join("credentials"), user, systemd }).unwrap()
    }

    fn settings(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
    }

    #[test]
    fn a_system_unit_is_its_owners_and_protected() {
        let text = of(Instance::System, "/srv/50% guild", Some("guild"));
        let settings = settings(&text);
        for expected in [
            "Type=notify-reload",
            "ExecStart=\"/opt/a b/guild-master\" run --config \"/srv/50%% guild/master.toml\"",
            "User=guild",
            "LoadCredential=guild:/srv/50%% guild/credentials",
            "PrivateTmp=yes",
            "ReadWritePaths=\"/srv/50%% guild\"",
            "After=network-online.target",
            "WantedBy=multi-user.target",
        ] {
            assert!(settings.contains(&expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn a_user_unit_asks_for_nothing_that_a_user_cannot_have() {
        let text = of(Instance::User, "/home/ada/guild", None);
        let settings = settings(&text);
        assert_eq!(
            settings.join("\n"),
            "\
[Unit]
Description=Guild master in /home/ada/guild
StartLimitIntervalSec=0
[Service]
Type=notify-reload
ExecStart=\"/opt/a b/guild-master\" run --config /home/ada/guild/master.toml
TimeoutStartSec=infinity
TimeoutStopSec=20
WatchdogSec=30
Restart=always
RestartSec=2
RestartPreventExitStatus=2
KillMode=mixed
LimitNOFILE=524288
UMask=0077
LoadCredential=guild:/home/ada/guild/credentials
NoNewPrivileges=yes
[Install]
WantedBy=default.target"
        );
    }

    #[test]
    fn a_master_in_a_temporary_directory_finds_itself() {
        assert!(!of(Instance::System, "/tmp/guild", None).contains("PrivateTmp"));
        assert!(of(Instance::System, "/tmpfs/guild", None).contains("PrivateTmp"));
        assert!(!of(Instance::System, "/srv/guild", None).contains("User="));
    }
}
