//! Where a file with a secret is: what systemd made of it for this process (`LoadCredential=`, systemd.exec(5)), or the
//! file itself. Opens neither.

use std::path::{Component, Path, PathBuf};

/// The name that the unit of `guild-master init --unit` gives to its directory of credentials. Their names are the files'
/// behind it, with `_` for what is between them.
pub const CREDENTIALS: &str = "guild";

/// A path in a master file whose directory is `base`.
pub(super) fn secret(base: &Path, path: &str) -> PathBuf {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let given = credentials.and_then(|dir| names(path)?.map(|name| dir.join(name)).find(|file| file.is_file()));
    given.unwrap_or_else(|| base.join(path))
}

/// What a credential for it may be called: one of the directory, or one that somebody's own unit names so. `None` means that it
/// is not a relative path.
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
