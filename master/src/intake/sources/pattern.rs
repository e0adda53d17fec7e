//! Patterns of branch and tag names, as in `branches = ["main", "release/*"]`.

/// A set of patterns. In a pattern, `*` matches any run of characters, `/` included, and every other character matches itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    pub fn new<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Patterns {
        Patterns(patterns.into_iter().map(Into::into).collect())
    }

    /// The pattern that matches every name.
    pub fn all() -> Patterns {
        Patterns::new(["*"])
    }

    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether a pattern matches a name. Each `*` takes the first place where the next part fits, and the last part must end the name. This
/// is linear in practice, and never worse than the product of both lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let patterns = Patterns::new(["main", "release/*", "a*b*c"]);
        for name in ["main", "release/1", "release/1/2", "release/", "abc", "aXbYc", "abcc"] {
            assert!(patterns.matches(name), "{name}");
        }
        for name in ["", "mainly", "domain", "release", "ab", "ac", "abcd"] {
            assert!(!patterns.matches(name), "{name}");
        }
        assert!(Patterns::all().matches("x") && !Patterns::default().matches("x"));
        assert!(!matches("ab*ba", "aba"));
    }
}
