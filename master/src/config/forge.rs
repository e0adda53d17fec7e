//! Finds the page of a commit at the forge of a project, so that pages can link to it. Pure.

use super::{HookKind, ProjectConfig};

/// The placeholder in the address of a commit's page, which the full id of the commit replaces.
pub const COMMIT: &str = "{commit}";

/// The public forges, each with the part of a commit's address between the repository and the id.
const KNOWN_HOSTS: [(&str, &str); 6] = [
    ("github.com", "commit"),
    ("gitlab.com", "-/commit"),
    ("codeberg.org", "commit"),
    ("gitea.com", "commit"),
    ("bitbucket.org", "commits"),
    ("git.sr.ht", "commit"),
];

/// Returns the address of a commit's page, with [`COMMIT`] in it. The master file may name it. Otherwise it follows from the repository's
/// address, if the kind of the forge is known. `None` means that no such page is known.
pub fn commit_url(project: &ProjectConfig) -> Option<String> {
    project.commit_url.clone().or_else(|| guess(project))
}

fn guess(project: &ProjectConfig) -> Option<String> {
    let addresses = std::iter::once(&project.repo).chain(&project.aliases);
    let hook = project.hook.as_ref().and_then(|hook| path_below(hook.kind));
    addresses.filter_map(|address| place(address)).find_map(|(host, path)| {
        let known = KNOWN_HOSTS.iter().find(|(known, _)| *known == host).map(|(_, below)| *below);
        let below = known.or(hook)?;
        Some(format!("https://{host}/{path}/{below}/{COMMIT}"))
    })
}

/// Returns the part of a commit's address between repository and id, on a forge whose hooks have this kind.
const fn path_below(kind: HookKind) -> Option<&'static str> {
    match kind {
        HookKind::GitHub | HookKind::Gitea => Some("commit"),
        HookKind::GitLab => Some("-/commit"),
        HookKind::Generic => None,
    }
}

/// Returns the host and the path of a repository's address, without user, port and `.git`. The forms are `https://HOST/PATH`,
/// `ssh://git@HOST/PATH` and `git@HOST:PATH`. `None` means that the address names no host.
fn place(address: &str) -> Option<(&str, &str)> {
    let (authority, path) = match address.split_once("://") {
        Some(("https" | "http" | "ssh" | "git", rest)) => rest.split_once('/')?,
        Some(_) => return None,
        None => address.split_once(':').filter(|(host, _)| !host.contains('/'))?,
    };
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = host.split(':').next().unwrap_or(host);
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let is_plain =
        |text: &str| !text.is_empty() && text.chars().all(|it| it.is_ascii_alphanumeric() || "-._/~".contains(it));
    (is_plain(host) && is_plain(path)).then_some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HookConfig;

    fn url(repo: &str, hook: Option<HookKind>) -> Option<String> {
        let mut project = ProjectConfig::of(repo.to_owned());
        project.hook = hook.map(|kind| HookConfig { kind, secret_file: "hook".into() });
        commit_url(&project)
    }

    #[test]
    fn the_page_of_a_commit_follows_from_the_address_of_a_known_host() {
        let known = [
            ("https://github.com/ada/calc.git", "https://github.com/ada/calc/commit/{commit}"),
            ("git@github.com:ada/calc.git", "https://github.com/ada/calc/commit/{commit}"),
            ("ssh://git@gitlab.com:22/group/sub/calc", "https://gitlab.com/group/sub/calc/-/commit/{commit}"),
            ("https://token@codeberg.org/ada/calc/", "https://codeberg.org/ada/calc/commit/{commit}"),
            ("https://bitbucket.org/ada/calc.git", "https://bitbucket.org/ada/calc/commits/{commit}"),
        ];
        for (repo, page) in known {
            assert_eq!(url(repo, None).as_deref(), Some(page), "{repo}");
        }
    }

    #[test]
    fn the_hook_tells_the_kind_of_an_unknown_host() {
        let own = "https://git.example.org:8443/ada/calc.git";
        assert_eq!(url(own, None), None);
        assert_eq!(url(own, Some(HookKind::Generic)), None);
        let page = "https://git.example.org/ada/calc/commit/{commit}";
        assert_eq!(url(own, Some(HookKind::Gitea)).as_deref(), Some(page));
        let page = "https://git.example.org/ada/calc/-/commit/{commit}";
        assert_eq!(url(own, Some(HookKind::GitLab)).as_deref(), Some(page));
    }

    #[test]
    fn a_repository_on_no_host_has_no_such_page() {
        for repo in [
            "/srv/git/calc.git",
            "../calc",
            "file:///srv/calc.git",
            "https://github.com/<b>x</b>",
            "https://github.com",
            "",
        ] {
            assert_eq!(url(repo, Some(HookKind::GitHub)), None, "{repo}");
        }
    }

    #[test]
    fn an_alias_tells_it_where_the_address_does_not() {
        let mut project = ProjectConfig::of("/srv/git/calc.git".to_owned());
        project.aliases = vec!["git@github.com:ada/calc".to_owned()];
        assert_eq!(commit_url(&project).as_deref(), Some("https://github.com/ada/calc/commit/{commit}"));
        project.commit_url = Some("https://git.example.org/calc?id={commit}".to_owned());
        assert_eq!(commit_url(&project).as_deref(), Some("https://git.example.org/calc?id={commit}"));
    }
}
