//! Finds a file with a secret: the credential that systemd made of it for this process (`LoadCredential=`, systemd.exec(5)), or the file
//! itself. Opens neither.

use std::path::{Component, Path, PathBuf};

/// The name that the unit of `guild-master init --unit` gives to its directory of credentials. systemd names each credential in it
/// `guild_FILE`, with `_` for `/`.
pub const CREDENTIALS: &str = "guild";

/// Returns the path of the secret that a master file in the directory `base` names as `path`.
pub(super) fn secret(base: &Path, path: &str) -> PathBuf {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let given = credentials.and_then(|dir| names(path)?.map(|name| dir.join(name)).find(|file| file.is_file()));
    given.unwrap_or_else(|| base.join(path))
}

/// Returns the names that the credential for a path may have: first in the unit of `guild-master init`, then in a unit of one's own.
/// `None` means that the path is absolute, or has a part like `..`.
fn names(path: &str) -> Option<impl Iterator<Item = String>> {
    let parts = Path::new(path).components().map(|part| match part {
        Component::Normal(part) => part.to_str(),
        Component::CurDir | Component::ParentDir | Component::RootDir | Component::Prefix(_) => None,
    });
    let name = parts.collect::<Option<Vec<&str>>>()?.join("_");
    Some([format!("{CREDENTIALS}_{name}"), name].into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_called_as_systemd_calls_it() {
        let called = |path| names(path).map(|names| names.collect::<Vec<_>>().join(" "));
        assert_eq!(called("pyfoo.key").as_deref(), Some("guild_pyfoo.key pyfoo.key"));
        assert_eq!(called("keys/pyfoo").as_deref(), Some("guild_keys_pyfoo keys_pyfoo"));
        for other in ["/etc/key", "../key", "./key"] {
            assert_eq!(called(other), None, "{other}");
        }
    }
}
