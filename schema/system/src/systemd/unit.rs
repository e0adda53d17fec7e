//! Unit files, which tell systemd how to run a program (systemd.unit(5)). This module knows where they are and how a path is written
//! in them. It never overwrites a file with other content. The program itself makes the content of its file.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The first version of systemd that waits for [`super::ready`] after it has asked for a reload.
const WAITS_FOR_RELOAD: u32 = 253;

/// The service manager that runs a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// The service manager of the machine.
    System,
    /// The service manager of the user in whose home directory the unit is.
    User,
}

#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    #[error("there is no home directory in which a unit could be")]
    NoHome,
    #[error("systemd cannot read the path `{}` in a unit: use a path of plain characters", .0.display())]
    Unwritable(PathBuf),
    #[error("{} already exists with other content: remove it to have it written anew", .0.display())]
    Differs(PathBuf),
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
}

impl UnitError {
    /// Whether the error is a mistake in the command, and not a fault of the file system.
    pub fn is_usage(&self) -> bool {
        !matches!(self, UnitError::File { .. })
    }
}

impl FromStr for Instance {
    type Err = String;

    fn from_str(word: &str) -> Result<Instance, String> {
        match word {
            "system" => Ok(Instance::System),
            "user" => Ok(Instance::User),
            _ => Err("either `system` or `user`".to_owned()),
        }
    }
}

impl Instance {
    /// Returns the target that is started with the machine, or with the user's service manager.
    pub fn target(self) -> &'static str {
        match self {
            Instance::System => "multi-user.target",
            Instance::User => "default.target",
        }
    }

    fn systemctl(self) -> &'static str {
        match self {
            Instance::System => "systemctl",
            Instance::User => "systemctl --user",
        }
    }

    fn dir(self) -> Result<PathBuf, UnitError> {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        match self {
            Instance::System => Ok(PathBuf::from("/etc/systemd/system")),
            Instance::User => {
                let base = named("XDG_CONFIG_HOME").or_else(|| Some(named("HOME")?.join(".config")));
                Ok(base.ok_or(UnitError::NoHome)?.join("systemd/user"))
            }
        }
    }
}

/// A unit file to write, with its path and its content.
#[derive(Debug)]
pub struct UnitFile {
    instance: Instance,
    name: String,
    path: PathBuf,
    text: String,
}

impl UnitFile {
    /// Makes a unit with this name, which is without `.service`. Fails if a file with other content exists.
    pub fn new(instance: Instance, name: &str, text: String) -> Result<UnitFile, UnitError> {
        let path = instance.dir()?.join(format!("{name}.service"));
        let unit = UnitFile { instance, name: name.to_owned(), path, text };
        unit.is_there()?;
        Ok(unit)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the unit file if it does not exist yet.
    pub fn write(&self) -> Result<(), UnitError> {
        if self.is_there()? {
            return Ok(());
        }
        let wrong = |cause| UnitError::File { path: self.path.clone(), cause };
        std::fs::create_dir_all(self.path.parent().unwrap_or(Path::new("/"))).map_err(wrong)?;
        let mut file = File::create_new(&self.path).map_err(wrong)?;
        // the file holds no secret, and everybody may use `systemctl cat`
        file.set_permissions(Permissions::from_mode(0o644)).map_err(wrong)?;
        file.write_all(self.text.as_bytes()).map_err(wrong)
    }

    /// Returns the commands that start the unit.
    pub fn next(&self) -> String {
        let (systemctl, name) = (self.instance.systemctl(), &self.name);
        format!("{systemctl} daemon-reload && {systemctl} enable --now {name}")
    }

    fn is_there(&self) -> Result<bool, UnitError> {
        match std::fs::read(&self.path) {
            Ok(found) if found == self.text.as_bytes() => Ok(true),
            Ok(_) => Err(UnitError::Differs(self.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(UnitError::File { path: self.path.clone(), cause }),
        }
    }
}

/// Returns the output of `systemctl --version`, or an empty text if it cannot be run.
pub fn systemctl_version() -> String {
    let output = std::process::Command::new("systemctl").arg("--version").output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the lines of a unit for a program that reloads on SIGHUP and reports it. `version` is the output of `systemctl --version`.
pub fn told_of_reloads(version: &str) -> &'static str {
    let number = version.split_whitespace().nth(1).and_then(|word| {
        let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        word[..digits].parse::<u32>().ok()
    });
    match number.is_some_and(|number| number >= WAITS_FOR_RELOAD) {
        true => "Type=notify-reload",
        false => "Type=notify\nExecReload=/bin/kill -HUP $MAINPID",
    }
}

/// Writes a path for a setting that takes the rest of its line literally.
pub fn line(path: &Path) -> Result<String, UnitError> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control) && !text.ends_with(['\\', ' ']));
    let text = text.ok_or_else(|| UnitError::Unwritable(path.to_owned()))?;
    Ok(text.replace('%', "%%"))
}

/// Writes a path for a setting that splits its value into words.
pub fn word(path: &Path) -> Result<String, UnitError> {
    let text = line(path)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@%".contains(c);
    match text.chars().all(is_plain) {
        true => Ok(text),
        false => Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))),
    }
}

/// Writes the path of the program in a command line of a unit.
pub fn program(path: &Path) -> Result<String, UnitError> {
    match path.to_string_lossy().contains(['"', '\'', '\\']) {
        true => Err(UnitError::Unwritable(path.to_owned())),
        // systemd expands no variables in the path of the program
        false => word(path),
    }
}

/// Writes a path as an argument in a command line of a unit.
pub fn argument(path: &Path) -> Result<String, UnitError> {
    Ok(word(path)?.replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_waited_for_where_systemd_can() {
        let old = "Type=notify\nExecReload=/bin/kill -HUP $MAINPID";
        for (version, expected) in [
            ("systemd 252 (252.39-1~deb12u2)\n+PAM +AUDIT", old),
            ("systemd 253 (253.1)\n", "Type=notify-reload"),
            ("systemd 257.9 (257.9-1~deb13u1)\n", "Type=notify-reload"),
            ("systemd 253~rc1 (v253~rc1)", "Type=notify-reload"),
            ("systemd 1000", "Type=notify-reload"),
            ("", old),
            ("systemd", old),
            ("systemd v300", old),
        ] {
            assert_eq!(told_of_reloads(version), expected, "{version}");
        }
    }

    #[test]
    fn a_path_is_not_read_as_anything_else() {
        for (path, in_line, as_word, as_argument) in [
            ("/srv/guild-1.2_x", "/srv/guild-1.2_x", "/srv/guild-1.2_x", "/srv/guild-1.2_x"),
            ("/a b", "/a b", "\"/a b\"", "\"/a b\""),
            ("/100%h", "/100%%h", "/100%%h", "/100%%h"),
            ("/$HOME", "/$HOME", "\"/$HOME\"", "\"/$$HOME\""),
            ("/\"q\" 'r'", "/\"q\" 'r'", "\"/\\\"q\\\" 'r'\"", "\"/\\\"q\\\" 'r'\""),
            ("/b\\n", "/b\\n", "\"/b\\\\n\"", "\"/b\\\\n\""),
            ("/a;b#c", "/a;b#c", "\"/a;b#c\"", "\"/a;b#c\""),
            ("/grün", "/grün", "\"/grün\"", "\"/grün\""),
        ] {
            let path = Path::new(path);
            assert_eq!(line(path).unwrap(), in_line);
            assert_eq!(word(path).unwrap(), as_word);
            assert_eq!(argument(path).unwrap(), as_argument);
        }
    }

    #[test]
    fn what_no_line_can_hold_is_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        for bytes in [&b"/a\nExecStart=/b"[..], b"/\xff", b"/a\\", b"/a ", b"/\x1b[0m"] {
            assert!(word(Path::new(std::ffi::OsStr::from_bytes(bytes))).is_err(), "{bytes:?}");
        }
        assert!(program(Path::new("/a \"b\"/c")).is_err());
        assert_eq!(program(Path::new("/a $b/50%")).unwrap(), "\"/a $b/50%%\"");
    }

    #[test]
    fn a_unit_of_another_content_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("units/x.service");
        let unit = |text: &str| UnitFile {
            instance: Instance::User,
            name: "x".to_owned(),
            path: path.clone(),
            text: text.to_owned(),
        };
        unit("one").write().unwrap();
        unit("one").write().unwrap();
        assert!(matches!(unit("two").write(), Err(UnitError::Differs(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(unit("one").next(), "systemctl --user daemon-reload && systemctl --user enable --now x");
    }
}
