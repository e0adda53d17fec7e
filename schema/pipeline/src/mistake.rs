//! Finds patterns that can never match, for example because they are written as in another tool, and suggests better ones.

use schema::values::ShortRef;

/// The reason why a pattern can never match, with a suggestion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The reason why the pattern matches nothing, as the end of a sentence.
    pub why: String,
    pub help: String,
}

/// Finds a mistake in a glob of paths, such as those of `paths` in `guild.toml`.
pub fn in_path(text: &str) -> Option<Mistake> {
    of_any(text).or_else(|| {
        if text.starts_with('/') {
            return meant("no path begins with `/`", text.trim_start_matches('/'));
        }
        let parts = || text.split('/');
        if parts().any(|part| part == "..") {
            return mistake("a path never leads out of the repository", "paths are relative to the repository's root");
        }
        if parts().any(|part| part == ".") {
            return meant("no path has a part `.`", parts().filter(|part| *part != ".").collect::<Vec<_>>().join("/"));
        }
        of_backslash(text)
    })
}

/// Finds a mistake in a glob of short names of branches or tags, such as those of `push`, `tag` and `branch` in `guild.toml`.
pub fn in_glob_of_refs(text: &str) -> Option<Mistake> {
    of_any(text).or_else(|| of_ref(text)).or_else(|| of_backslash(text))
}

/// Finds a mistake in a pattern of short names in which only `*` is special, such as those of `branches` and `tags` in `master.toml`.
pub fn in_names(text: &str) -> Option<Mistake> {
    of_any(text).or_else(|| of_ref(text)).or_else(|| {
        if let Some(start) = text.strip_suffix('/') {
            return meant("no branch or tag ends with `/`", format!("{start}/*"));
        }
        let odd = text.chars().find(|c| "?[]\\".contains(*c))?;
        mistake(
            format!("no branch or tag has `{odd}` in its name"),
            "only `*` is special here: it stands for any characters",
        )
    })
}

fn of_any(text: &str) -> Option<Mistake> {
    if text.trim().is_empty() {
        return mistake("it is empty", "leave it out, or say `**` for everything");
    }
    if text.trim() != text {
        return meant("it begins or ends with a blank", text.trim());
    }
    if text.starts_with('!') {
        return mistake("a leading `!` is not special", "patterns only add: list what is wanted instead");
    }
    if is_regex(text) {
        let plain = text.trim_start_matches('^').trim_end_matches('$').replace(".*", "*");
        return meant("it is a regular expression, and patterns here are globs", plain);
    }
    if text.contains("//") {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        return meant("nothing has `//` in its name", parts.join("/"));
    }
    None
}

fn is_regex(text: &str) -> bool {
    text.ends_with(".*$") || text.starts_with('^') && (text.ends_with('$') || text.contains(".*"))
}

fn of_ref(text: &str) -> Option<Mistake> {
    match ShortRef::of(text) {
        ShortRef::Tag(name) => {
            return mistake("a short name is needed here", format!("write `{name}`, among the patterns of tags"));
        }
        ShortRef::Branch(name) => return meant("a short name is needed here", name),
        ShortRef::Other(_) => {}
    }
    if text.starts_with("refs/") {
        return mistake(
            "a short name is needed here",
            "only branches and tags are followed: write `main`, not `refs/heads/main`",
        );
    }
    if let Some(name) = text.strip_prefix("./") {
        return meant("no branch or tag begins with `./`", name);
    }
    if text.starts_with('/') {
        return meant("no branch or tag begins with `/`", text.trim_matches('/'));
    }
    // the rules of git-check-ref-format(1) about characters that are not special in a glob
    let odd = text.chars().find(|c| c.is_control() || " ~^:".contains(*c)).map(String::from);
    let odd = odd.or_else(|| ["..", "@{", "/."].into_iter().find(|odd| text.contains(odd)).map(str::to_owned));
    let why = match odd {
        Some(odd) => format!("no branch or tag has `{}` in its name", odd.escape_debug()),
        None => {
            let end = [".lock", "."].into_iter().find(|end| text.ends_with(end))?;
            format!("no branch or tag ends with `{end}`")
        }
    };
    mistake(why, "look at `git branch -a` and `git tag`")
}

/// Finds a `\` that was meant as a separator. A `\` before a character that is special in a glob is not one, because it escapes that
/// character.
fn of_backslash(text: &str) -> Option<Mistake> {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once('\\') {
        let next = behind.chars().next();
        if next.is_none_or(|c| !"*?[]{}!,\\".contains(c)) {
            return meant("`\\` separates nothing", text.replace('\\', "/"));
        }
        rest = &behind[next.map_or(0, char::len_utf8)..];
    }
    None
}

fn meant(why: &str, text: impl std::fmt::Display) -> Option<Mistake> {
    mistake(why, format!("write `{text}`"))
}

fn mistake(why: impl Into<String>, help: impl Into<String>) -> Option<Mistake> {
    Some(Mistake { why: why.into(), help: help.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(found: Option<Mistake>) -> String {
        found.map(|mistake| mistake.help).unwrap_or_default()
    }

    #[test]
    fn notations_of_other_tools_are_told_what_was_meant() {
        let adds = "patterns only add: list what is wanted instead";
        let root = "paths are relative to the repository's root";
        for (text, expected) in [
            ("!docs/**", adds),
            ("./src/", "write `src/`"),
            ("src/./a", "write `src/a`"),
            ("/src/", "write `src/`"),
            ("../x", root),
            ("a/../b", root),
            ("src\\a", "write `src/a`"),
            ("src\\", "write `src/`"),
            ("src//a", "write `src/a`"),
            ("", "leave it out, or say `**` for everything"),
            (" ", "leave it out, or say `**` for everything"),
            ("src ", "write `src`"),
            ("^src/.*$", "write `src/*`"),
        ] {
            assert_eq!(help(in_path(text)), expected, "{text:?}");
        }
        for (text, expected) in [
            ("refs/heads/main", "write `main`"),
            ("refs/tags/v*", "write `v*`, among the patterns of tags"),
            ("refs/pull/*", "only branches and tags are followed: write `main`, not `refs/heads/main`"),
            ("!main", adds),
            ("main ", "write `main`"),
            ("/main/", "write `main`"),
            ("./main", "write `main`"),
            ("a//b", "write `a/b`"),
            ("^release-.*$", "write `release-*`"),
            ("release-.*$", "write `release-*`"),
            ("a b", "look at `git branch -a` and `git tag`"),
            ("main~1", "look at `git branch -a` and `git tag`"),
            ("^main", "look at `git branch -a` and `git tag`"),
            ("a..b", "look at `git branch -a` and `git tag`"),
            ("main.lock", "look at `git branch -a` and `git tag`"),
        ] {
            assert_eq!(help(in_glob_of_refs(text)), expected, "{text:?}");
            assert_eq!(help(in_names(text)), expected, "{text:?}");
        }
        let stars = "only `*` is special here: it stands for any characters";
        for (text, expected) in [("v?", stars), ("v[0-9]", stars), ("a\\b", stars), ("feature/", "write `feature/*`")] {
            assert_eq!(help(in_names(text)), expected, "{text:?}");
        }
        assert_eq!(help(in_glob_of_refs("feature\\x")), "write `feature/x`");
    }

    #[test]
    fn what_can_match_is_let_be() {
        for text in [
            "**",
            "src/",
            "*.md",
            "docs/**",
            "a/[!b]",
            "{a,b}/*.rs",
            "\\!odd",
            "a^b",
            "cost$",
            "x y",
            ".github/",
            "v1.*",
        ] {
            assert_eq!(in_path(text), None, "{text}");
        }
        for text in ["main", "release/**", "v[0-9]*", "v1.*", "{a,b}", "feature/", "dev-?", "cost$", "a\\{b", "ü"] {
            assert_eq!(in_glob_of_refs(text), None, "{text}");
        }
        for text in ["*", "**", "main", "release/*", "v1.*", "v*", "{a", "cost$"] {
            assert_eq!(in_names(text), None, "{text}");
        }
    }
}
