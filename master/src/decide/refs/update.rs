//! Updates of refs, and to which of them a build belongs. An update is named by the number of its first build. So a later update of the
//! same ref has a greater number.

use crate::decide::records::Head;
use schema::values::SourceRevision;

/// The origin of a build, by which its update is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The build's ref moved, which is an update.
    Moved,
    /// Somebody asked for the tip of a ref. `since` is the number that the project's next build had before the tip was looked up. So an
    /// update with this number or a greater one came after that.
    Tip { since: u32 },
    /// Somebody named the commit, which may be any commit.
    Named,
    /// The build repeats a build of this update.
    Again(u32),
}

impl Origin {
    /// The update to which a new build of this source with this number belongs. 0 means none. A build of the known tip belongs to the
    /// newest update, no matter who asked for the build. `head` is the known state of the source's ref.
    pub(in crate::decide) fn update(self, source: &SourceRevision, head: Option<&Head>, number: u32) -> u32 {
        if source.ref_name.is_empty() {
            return 0;
        }
        let head = head.filter(|head| head.gone.is_none());
        let is_head = head.is_some_and(|head| head.revision == source.revision);
        match (self, head.map_or(0, |head| head.update)) {
            (Origin::Moved, _) => number,
            (_, update) if is_head && update > 0 => update,
            (Origin::Again(update), _) => update,
            // A push came before the look, so this commit now counts like any other.
            (Origin::Tip { since }, update) if update >= since => 0,
            (Origin::Tip { .. }, _) => number,
            (Origin::Named, _) if is_head => number,
            (Origin::Named, _) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::Time;

    #[test]
    fn a_build_of_the_tip_belongs_to_the_newest_update() {
        let head = |update, gone| Head { revision: "b".to_owned(), update, gone, ..Head::default() };
        let known = [None, Some(head(0, None)), Some(head(5, None)), Some(head(5, Some(Time(1))))];
        // Each row has an origin, a revision, and the update of build 9, by what is known of the ref.
        let table = [
            ((Origin::Moved, "b"), [9, 9, 9, 9]),
            ((Origin::Tip { since: 6 }, "b"), [9, 9, 5, 9]),
            ((Origin::Tip { since: 6 }, "a"), [9, 9, 9, 9]),
            ((Origin::Tip { since: 5 }, "b"), [9, 9, 5, 9]),
            ((Origin::Tip { since: 5 }, "a"), [9, 9, 0, 9]),
            ((Origin::Named, "b"), [0, 9, 5, 0]),
            ((Origin::Named, "a"), [0, 0, 0, 0]),
            ((Origin::Again(3), "b"), [3, 3, 5, 3]),
            ((Origin::Again(3), "a"), [3, 3, 3, 3]),
        ];
        for ((origin, revision), updates) in table {
            let (ref_name, revision) = ("refs/heads/main".to_owned(), revision.to_owned());
            let source = SourceRevision { ref_name, revision, ..SourceRevision::default() };
            let found = known.clone().map(|head| origin.update(&source, head.as_ref(), 9));
            assert_eq!(found, updates, "{origin:?} {}", source.revision);
            let nameless = SourceRevision { ref_name: String::new(), ..source };
            assert_eq!(origin.update(&nameless, known[2].as_ref(), 9), 0, "{origin:?}");
        }
    }
}
