//! The memory of reporters: the cursors from which they continue, and the notices that they sent. The coordinator keeps none of it. It
//! only checks each row, so that no row is about an event or a build that this store never had.

use super::Coordinator;
use super::record::{Record, ReporterRow, ToldRow};
use schema::values::{Refusal, RefusalCode};

impl Coordinator {
    /// Records the cursor from which a reporter continues.
    pub fn keep_cursor(&mut self, row: ReporterRow) -> Result<(), Refusal> {
        let cursor = row.cursor;
        if cursor.incarnation != self.following.incarnation() || cursor.after > self.last_event {
            let text = format!("event {} of incarnation {} does not exist yet", cursor.after, cursor.incarnation);
            return Err(Refusal::new(RefusalCode::Invalid, text));
        }
        self.record(Record::Reporter(row));
        Ok(())
    }

    /// Records the lanes whose state a reporter announced, or decided not to announce.
    pub fn remember_told(&mut self, rows: Vec<ToldRow>) -> Result<(), Refusal> {
        if let Some(row) = rows.iter().find(|row| !self.had_build(&row.project, row.build)) {
            let text = format!("build {}/{} does not exist yet", row.project, row.build);
            return Err(Refusal::new(RefusalCode::Invalid, text));
        }
        rows.into_iter().for_each(|row| self.record(Record::Told(row)));
        Ok(())
    }

    /// Records which reporters are left. The store forgets the other reporters, and what they announced.
    pub fn keep_reporters(&mut self, names: Vec<String>) {
        self.record(Record::Reporters(names));
    }

    fn had_build(&self, project: &str, number: u32) -> bool {
        self.numbers.get(project).is_some_and(|highest| number <= *highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::coordinator::record::{Loaded, Transition};
    use crate::decide::coordinator::{Effect, Terms};
    use schema::values::{Cursor, Time};

    fn coordinator() -> Coordinator {
        let numbers = vec![("p".to_owned(), 7)];
        let loaded = Loaded { incarnation: 2, last_event: 40, numbers, ..Loaded::default() };
        Coordinator::load(Time(0), Terms::default(), loaded, [0; 32])
    }

    fn recorded(it: &mut Coordinator) -> usize {
        std::iter::from_fn(|| it.poll_effect()).filter(|effect| matches!(effect, Effect::Record(_))).count()
    }

    #[test]
    fn a_cursor_points_at_an_event_that_exists() {
        let mut it = coordinator();
        for (incarnation, after, is_good) in [(2, 0, true), (2, 40, true), (2, 41, false), (1, 3, false), (3, 3, false)]
        {
            let cursor = Cursor { incarnation, after };
            let kept = it.keep_cursor(ReporterRow { name: "r".to_owned(), cursor, born: Time(1) });
            assert_eq!(kept.is_ok(), is_good, "{cursor:?}");
            assert_eq!(recorded(&mut it), usize::from(is_good), "{cursor:?}");
        }
    }

    #[test]
    fn only_builds_that_exist_are_told_of() {
        let told = |project: &str, build| ToldRow {
            reporter: "r".to_owned(),
            project: project.to_owned(),
            ref_name: "refs/heads/main".to_owned(),
            job: "j".to_owned(),
            turn: Transition::Fixed,
            revision: String::new(),
            build,
            notice: String::new(),
            time: Time(1),
        };
        let mut it = coordinator();
        assert_eq!(it.remember_told(vec![told("p", 1), told("p", 7)]), Ok(()));
        assert_eq!(recorded(&mut it), 2);
        for unknown in [told("p", 8), told("q", 1)] {
            assert!(it.remember_told(vec![told("p", 1), unknown]).is_err());
            assert_eq!(recorded(&mut it), 0, "all of it, or nothing");
        }
    }
}
