//! Reads from a commit's message which commits it reverts, in the words of `git revert`. It is pure.

use std::collections::BTreeMap;

/// The text with which `git revert` begins a line about a reverted commit. The id follows it.
const REVERTS: &str = "This reverts commit ";
/// The text with which that line continues if the reverted commit is a merge. The id of a parent follows it. Git may break the
/// line within the sentence.
const OF_A_MERGE: &str = "reversing changes made to ";
/// The word after which git breaks the sentence about a merge.
const BREAK: &str = "reversing";
/// The number of digits that a reverted commit's id must have: as many as git's own short ids have at least.
const REVERTED_MIN: usize = 7;

/// A commit that another commit reverts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reversal {
    /// The id of the reverted commit: a whole id, or its beginning.
    pub revision: String,
    /// If a merge is reverted: the parent that stays, as a whole id or its beginning. Empty means that the message names none.
    pub mainline: String,
    /// The whole ids of the commits that a reverted merge brought, which are reverted with it. It is empty if the commit is not
    /// a merge of the same range.
    pub brought: Vec<String>,
}

impl Reversal {
    /// Returns the commits whose changes are undone: the reverted commit first, and then the commits that it brought.
    pub fn revisions(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.revision).chain(&self.brought)
    }

    /// Returns the reverted merge and the parent that stays. `merges` are merges with their parents; `None` means that none of
    /// them is reverted.
    pub(super) fn merge_among<'a>(
        &self,
        merges: &'a BTreeMap<String, Vec<String>>,
    ) -> Option<(&'a String, &'a String)> {
        let (merge, parents) = merges.range(self.revision.clone()..).next()?;
        let kept = self.kept_parent(parents)?;
        merge.starts_with(&self.revision).then_some((merge, kept))
    }

    /// Returns the parent that stays. It is the first parent of the merge, as in git, unless the message names another one.
    fn kept_parent<'a>(&self, parents: &'a [String]) -> Option<&'a String> {
        let is_named = |parent: &&String| !self.mainline.is_empty() && parent.starts_with(&self.mainline);
        parents.iter().find(is_named).or(parents.first())
    }
}

/// Returns the commits that a message reverts. The revert of several commits has a line for each.
pub(super) fn named_by(message: &str) -> Vec<Reversal> {
    let mut found: Vec<Reversal> = Vec::new();
    let mut lines = message.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix(REVERTS) else { continue };
        let revision = id_at_start(rest);
        if revision.len() < REVERTED_MIN {
            continue;
        }
        // git may break the sentence about a merge, so the next line belongs to it
        let more = lines.peek().filter(|_| rest.ends_with(BREAK)).unwrap_or(&"");
        let mainline = format!("{rest} {more}");
        let mainline = mainline.split_once(OF_A_MERGE).map(|(_, parent)| id_at_start(parent)).unwrap_or_default();
        found.push(Reversal { revision, mainline, brought: Vec::new() });
    }
    found
}

fn id_at_start(text: &str) -> String {
    text.chars().take_while(char::is_ascii_hexdigit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_git_revert_are_understood() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        for (message, expected) in [
            (format!("This reverts commit {one}.\n"), vec![(one.as_str(), "")]),
            (
                format!("This reverts commit {one}.\n\nThis reverts commit {two}.\n"),
                vec![(one.as_str(), ""), (two.as_str(), "")],
            ),
            (
                format!("This reverts commit {one}, reversing\nchanges made to {two}.\n"),
                vec![(one.as_str(), two.as_str())],
            ),
            (
                format!("This reverts commit {one}, reversing changes made to {two}."),
                vec![(one.as_str(), two.as_str())],
            ),
            (
                "This reverts commit 1111111 (sub, 2024-01-01), reversing\nchanges made to 2222222 (x, y).".to_owned(),
                vec![("1111111", "2222222")],
            ),
            (
                format!("This reverts commit {one}.\nThis reverts commit {two}, reversing\nchanges made to {one}."),
                vec![(one.as_str(), ""), (two.as_str(), one.as_str())],
            ),
            (
                format!("This reverts commit {one}.\nThis reverts commit {two}, reversing changes made to {one}."),
                vec![(one.as_str(), ""), (two.as_str(), one.as_str())],
            ),
            ("This reverts commit 12345.\nIt reverts commit 1111111".to_owned(), vec![]),
        ] {
            let found = named_by(&message);
            let found: Vec<_> = found.iter().map(|it| (it.revision.as_str(), it.mainline.as_str())).collect();
            assert_eq!(found, expected, "{message}");
        }
    }

    #[test]
    fn the_first_parent_stays_unless_the_message_says_otherwise() {
        let parents = ["1".repeat(40), "2".repeat(40)];
        let kept = |mainline: &str| {
            let reversal = Reversal { mainline: mainline.to_owned(), ..Reversal::default() };
            reversal.kept_parent(&parents).cloned()
        };
        assert_eq!((kept(""), kept("2222222")), (Some("1".repeat(40)), Some("2".repeat(40))));
        assert_eq!(kept("3333333"), Some("1".repeat(40)), "a parent that the merge does not have");
        let merges = BTreeMap::from([("4".repeat(40), parents.to_vec()), ("5".repeat(40), parents.to_vec())]);
        let merge = |id: &str| {
            let reversal = Reversal { revision: id.to_owned(), ..Reversal::default() };
            reversal.merge_among(&merges).map(|(merge, kept)| (merge[..1].to_owned(), kept[..1].to_owned()))
        };
        assert_eq!(merge("4444444"), Some(("4".to_owned(), "1".to_owned())));
        assert_eq!((merge("4444445"), merge("6666666")), (None, None));
    }
}
