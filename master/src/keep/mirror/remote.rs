//! The address of a repository and its credentials. This module decides which addresses are accepted and which protocol git may
//! use. It passes keys and tokens to git without putting them into arguments.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::git::GitError;

const TOKEN_BYTES_MAX: u64 = 16 << 10;
/// The name of the remote in git's configuration. The address itself never appears in an argument.
pub(super) const REMOTE: &str = "guild";

/// A repository's address, and the files with its credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// An absolute path, `file://`, `ssh://`, `user@host:path`, `https://`, `http://` or `git://`.
    pub address: String,
    /// The file of a private key for ssh.
    pub key_file: Option<PathBuf>,
    /// The file of the only host keys that ssh trusts. Without it, ssh trusts the known hosts of the user who runs the master.
    pub known_hosts_file: Option<PathBuf>,
    /// The file of a token for https, which is read at each fetch.
    pub token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    File,
    Ssh,
    Https,
    Http,
    Git,
}

impl Transport {
    /// Returns the name of the protocol for `protocol.NAME.allow`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Transport::File => "file",
            Transport::Ssh => "ssh",
            Transport::Https => "https",
            Transport::Http => "http",
            Transport::Git => "git",
        }
    }
}

/// The environment of a run of git that contacts the remote, and the secrets in it, which no message may show.
pub(super) struct Access {
    pub(super) env: Vec<(String, OsString)>,
    pub(super) secrets: Vec<String>,
}

impl Remote {
    /// Returns a repository that needs no credentials.
    pub fn new(address: impl Into<String>) -> Remote {
        Remote { address: address.into(), ..Remote::default() }
    }

    /// Returns the protocol of the address. Refuses addresses that git would read as an option or a command, and addresses with
    /// passwords.
    pub(super) fn transport(&self) -> io::Result<Transport> {
        let address = &self.address;
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why.to_string()));
        if address.is_empty() || address.starts_with('-') || address.chars().any(char::is_control) {
            return refuse("the repository's address is empty, begins with `-` or has control characters");
        }
        if address.starts_with('/') {
            return Ok(Transport::File);
        }
        if let Some((scheme, rest)) = address.split_once("://") {
            return self.schemed(scheme, rest);
        }
        let scp = address.split_once(':').filter(|(host, path)| !host.contains('/') && !path.starts_with(':'));
        match scp {
            Some((host, _)) if !host.is_empty() => Ok(Transport::Ssh),
            _ => refuse("the repository's address is neither an absolute path nor one of ssh, https, http, git"),
        }
    }

    fn schemed(&self, scheme: &str, rest: &str) -> io::Result<Transport> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        let transport = match scheme {
            "file" => return Ok(Transport::File),
            "ssh" => Transport::Ssh,
            "https" => Transport::Https,
            "http" => Transport::Http,
            "git" => Transport::Git,
            other => return refuse(format!("addresses of scheme `{other}` are not supported")),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        if user.is_some_and(|user| user.contains(':')) {
            return refuse("the address holds a password: put it into a token file".to_string());
        }
        let web = matches!(transport, Transport::Https | Transport::Http);
        if web && user.is_some() && self.token_file.is_none() {
            return refuse("the address names a user: name a token file as well, or leave the user out".to_string());
        }
        let host = authority.rsplit('@').next().unwrap_or_default();
        if transport == Transport::Http && self.token_file.is_some() && !is_loopback(host) {
            return refuse("a token would travel unencrypted: use https".to_string());
        }
        Ok(transport)
    }

    /// Reads the token and checks that the other files exist. The check is needed because ssh's own error for a missing key
    /// names no cause.
    pub(super) fn access(&self) -> Result<Access, GitError> {
        let mut config = vec![(format!("remote.{REMOTE}.url"), self.plain_address())];
        let mut access = Access { env: Vec::new(), secrets: Vec::new() };
        if let Some(file) = &self.token_file {
            let token = read_token(file)?;
            let user = self.user().unwrap_or("x-access-token");
            let basic = data_encoding::BASE64.encode(format!("{user}:{token}").as_bytes());
            config.push((format!("http.{}.extraHeader", self.origin()), format!("Authorization: Basic {basic}")));
            access.secrets = vec![token, basic];
        }
        access.env.push(("GIT_SSH_COMMAND".to_string(), self.ssh_command()?));
        access.env.push(("GIT_SSH_VARIANT".to_string(), "ssh".into()));
        access.env.push(("GIT_CONFIG_COUNT".to_string(), config.len().to_string().into()));
        for (index, (key, value)) in config.into_iter().enumerate() {
            access.env.push((format!("GIT_CONFIG_KEY_{index}"), key.into()));
            access.env.push((format!("GIT_CONFIG_VALUE_{index}"), value.into()));
        }
        Ok(access)
    }

    /// Returns the host of the address, without its user and its port; empty means this machine.
    pub(super) fn host(&self) -> String {
        let rest = match self.address.split_once("://") {
            Some(("file", _)) => "",
            Some((_, rest)) => rest,
            None => &self.address,
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.split_once('[').filter(|(user, _)| !user.contains(':')) {
            Some((_, numbers)) => numbers.split(']').next(),
            None => authority.split(':').next().and_then(|named| named.rsplit('@').next()),
        };
        host.unwrap_or_default().to_ascii_lowercase()
    }

    /// Returns the address without its user if it is a web address, because git would ask for the user's password.
    fn plain_address(&self) -> String {
        match (self.address.split_once("://"), self.user()) {
            (Some((scheme, rest)), Some(user)) if scheme.starts_with("http") => {
                format!("{scheme}://{}", &rest[user.len() + 1..])
            }
            _ => self.address.clone(),
        }
    }

    /// Returns the scheme and the host of a web address. The token is sent only there.
    fn origin(&self) -> String {
        let plain = self.plain_address();
        let (scheme, rest) = plain.split_once("://").unwrap_or(("https", plain.as_str()));
        format!("{scheme}://{}/", rest.split('/').next().unwrap_or_default())
    }

    fn user(&self) -> Option<&str> {
        let (_, rest) = self.address.split_once("://")?;
        let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
        Some(user)
    }

    fn ssh_command(&self) -> Result<OsString, GitError> {
        let mut command = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=20 \
            -o ServerAliveInterval=15 -o ServerAliveCountMax=3 -o ControlMaster=no -o ControlPath=none \
            -o ForwardAgent=no -o ClearAllForwardings=yes -o PermitLocalCommand=no"
            .to_string();
        if let Some(file) = &self.key_file {
            command.push_str(" -o IdentitiesOnly=yes -i ");
            command.push_str(&quoted(file)?);
        }
        if let Some(file) = &self.known_hosts_file {
            command.push_str(" -o GlobalKnownHostsFile=/dev/null -o ");
            command.push_str(&shell_quoted(&format!("UserKnownHostsFile=\"{}\"", text_of(file)?)));
        }
        Ok(command.into())
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    matches!(name.map_or(host, |(name, _)| name), "localhost" | "127.0.0.1" | "[::1]")
}

fn read_token(file: &Path) -> Result<String, GitError> {
    use std::io::Read;
    let place = || file.display().to_string();
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|open| open.take(TOKEN_BYTES_MAX).read_to_string(&mut text))
        .map_err(|cause| GitError::io(place(), cause))?;
    let token = text.trim();
    if token.is_empty() || token.chars().any(char::is_control) {
        return Err(GitError::Invalid(format!("{}: a token file holds one line", place())));
    }
    Ok(token.to_string())
}

/// Quotes the path of a file for the shell, to which git passes `GIT_SSH_COMMAND`.
fn quoted(file: &Path) -> Result<String, GitError> {
    std::fs::metadata(file).map_err(|cause| GitError::io(file.display().to_string(), cause))?;
    Ok(shell_quoted(text_of(file)?))
}

fn text_of(file: &Path) -> Result<&str, GitError> {
    file.to_str().ok_or_else(|| GitError::Invalid(format!("{}: the path is not UTF-8", file.display())))
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let token = Some(PathBuf::from("t"));
        let judge = |address: &str, token_file: Option<PathBuf>| {
            let remote = Remote { address: address.to_string(), token_file, ..Remote::default() };
            remote.transport().map(Transport::name).map_err(|error| error.to_string())
        };
        for (address, name) in [
            ("/srv/x.git", "file"),
            ("file:///srv/x.git", "file"),
            ("ssh://git@host:22/x.git", "ssh"),
            ("git@host:x.git", "ssh"),
            ("https://host/x", "https"),
            ("git://host/x", "git"),
        ] {
            assert_eq!(judge(address, None).as_deref(), Ok(name), "{address}");
        }
        for address in ["", "-x", "ext::sh -c x", "a/b", "https://u:p@h/x", "https://tok@h/x", "ssh://u:p@h/x", "a\n"] {
            assert!(judge(address, None).is_err(), "{address}");
        }
        assert!(judge("https://u@h/x", token.clone()).is_ok());
        assert!(judge("http://h/x", token.clone()).is_err());
        assert!(judge("http://127.0.0.1:80/x", token).is_ok());
    }

    #[test]
    fn hosts() {
        for (address, host) in [
            ("/srv/x.git", ""),
            ("/srv/host:x.git", ""),
            ("file:///srv/x.git", ""),
            ("ssh://git@Forge.example:22/x.git", "forge.example"),
            ("ssh://git@[fe80::1]:22/x.git", "fe80::1"),
            ("git@forge.example:team/x@2.git", "forge.example"),
            ("git@forge.example:x@2[a].git", "forge.example"),
            ("forge.example:x.git", "forge.example"),
            ("git@[fe80::1]:x.git", "fe80::1"),
            ("https://me@forge.example/x", "forge.example"),
            ("http://127.0.0.1:80/x", "127.0.0.1"),
            ("git://forge.example", "forge.example"),
        ] {
            assert_eq!(Remote::new(address).host(), host, "{address}");
        }
    }

    #[test]
    fn a_token_goes_to_its_host_only_and_into_no_argument() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("it's a token");
        std::fs::write(&file, "s3cr3t\n").unwrap();
        let remote = Remote {
            address: "https://me@host/a/b.git".to_string(),
            token_file: Some(file.clone()),
            key_file: Some(file),
            known_hosts_file: None,
        };
        let access = remote.access().unwrap();
        let env: Vec<String> = access.env.iter().map(|(name, value)| format!("{name}={}", value.display())).collect();
        assert!(env.contains(&"GIT_CONFIG_VALUE_0=https://host/a/b.git".to_string()), "{env:?}");
        assert!(env.contains(&"GIT_CONFIG_KEY_1=http.https://host/.extraHeader".to_string()), "{env:?}");
        assert!(env.iter().any(|line| line.contains(r"it'\''s a token'")), "{env:?}");
        assert_eq!(access.secrets[0], "s3cr3t");
    }

    #[test]
    fn ssh_understands_its_command() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a key", "it's known"].map(|name| dir.path().join(name));
        for file in &files {
            std::fs::write(file, "").unwrap();
        }
        let [key_file, known_hosts_file] = files.clone().map(Some);
        let remote = Remote { address: "git@host:x".to_string(), key_file, known_hosts_file, token_file: None };
        let command = remote.ssh_command().unwrap().into_string().unwrap();
        // `-G` prints what it would do, and does nothing
        let said = std::process::Command::new("sh").args(["-c", &format!("{command} -G git@host")]).output().unwrap();
        if said.status.code() == Some(127) {
            return; // no ssh here
        }
        let said = String::from_utf8(said.stdout).unwrap();
        for (name, value) in [
            ("identityfile", files[0].to_str().unwrap()),
            ("userknownhostsfile", files[1].to_str().unwrap()),
            ("globalknownhostsfile", "/dev/null"),
            ("stricthostkeychecking", "true"),
            ("identitiesonly", "yes"),
            ("batchmode", "yes"),
        ] {
            assert!(said.lines().any(|line| line == format!("{name} {value}")), "{name} {value}: {said}");
        }
        let lost = Remote { key_file: Some(dir.path().join("lost")), ..remote };
        assert!(lost.access().err().unwrap().to_string().contains("lost"));
    }
}
