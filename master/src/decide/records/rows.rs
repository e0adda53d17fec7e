//! Rows that the store keeps. A row can be read as if it were the plain struct, and every way to change a row records the change. So the
//! store gets everything that memory holds, unless a method's name says otherwise. The functions `load` and `loaded` take in the rows
//! that the store held at the start.

use super::{
    AttemptRow, BuildRow, ClaimKey, ClaimRow, CronKey, CronRow, FollowedRow, GrantId, GrantRow, JobRow, Record,
    StepRow, WorkerRow,
};
use schema::values::{Outcome, State, Time};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Deref;

/// A `Recorder` takes records, and sees to it that they reach the store in order.
pub trait Recorder {
    fn record(&mut self, record: Record);
}

/// The row of a thing that has more parts than its row, such as a build.
#[derive(Debug)]
pub struct Row<R>(R);

impl<R> Deref for Row<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.0
    }
}

impl<R> Row<R> {
    /// Takes a row that was read from the store, without recording it.
    pub(in crate::decide) fn loaded(row: R) -> Row<R> {
        Row(row)
    }
}

impl<K: Ord, R> Rows<K, R> {
    /// Takes rows that were read from the store, without recording them.
    pub(in crate::decide) fn loaded(rows: Vec<R>, key: impl Fn(&R) -> K) -> Rows<K, R> {
        Rows(rows.into_iter().map(|row| (key(&row), row)).collect())
    }

    /// Adds a row that was read from the store, without recording it.
    pub(in crate::decide) fn load(&mut self, key: K, row: R) {
        self.0.insert(key, row);
    }

    /// Drops a row that the store still has, so that nobody uses it any more.
    pub(in crate::decide) fn leave_out(&mut self, key: &K) -> Option<R> {
        self.0.remove(key)
    }
}

impl<R: Clone + Into<Record>> Row<R> {
    /// Records a row that is new.
    pub(in crate::decide) fn new(row: R, to: &mut impl Recorder) -> Row<R> {
        record(row.clone(), to);
        Row(row)
    }

    /// A row that its first edit records. Offers use it, so that an offer which nobody accepts leaves nothing in the store.
    pub(in crate::decide) fn draft(row: R) -> Row<R> {
        Row(row)
    }

    /// Changes the row and records it.
    pub(in crate::decide) fn edit(&mut self, to: &mut impl Recorder, change: impl FnOnce(&mut R)) -> &R {
        change(&mut self.0);
        record(self.0.clone(), to);
        &self.0
    }

    /// Changes the row without recording it. Offers use it, because a restart forgets them and queues their jobs.
    pub(in crate::decide) fn edit_unrecorded(&mut self, change: impl FnOnce(&mut R)) {
        change(&mut self.0);
    }

    /// Changes the row for the last time, and records it. Memory then holds it no longer.
    pub(in crate::decide) fn close(mut self, to: &mut impl Recorder, change: impl FnOnce(&mut R)) {
        change(&mut self.0);
        record(self.0, to);
    }
}

/// The rows of a table, by their key.
#[derive(Debug)]
pub struct Rows<K, R>(BTreeMap<K, R>);

impl<K, R> Default for Rows<K, R> {
    fn default() -> Rows<K, R> {
        Rows(BTreeMap::new())
    }
}

impl<K, R> Deref for Rows<K, R> {
    type Target = BTreeMap<K, R>;

    fn deref(&self) -> &BTreeMap<K, R> {
        &self.0
    }
}

impl<K: Ord, R: Clone + Into<Record>> Rows<K, R> {
    /// Records a row. It is new, or it replaces the row that has the same key.
    pub(in crate::decide) fn put(&mut self, to: &mut impl Recorder, key: K, row: R) {
        record(row.clone(), to);
        self.0.insert(key, row);
    }

    /// Changes a row and records it. `None` means that there is no such row.
    pub(in crate::decide) fn edit<Q: Ord + ?Sized>(
        &mut self,
        to: &mut impl Recorder,
        key: &Q,
        change: impl FnOnce(&mut R),
    ) -> Option<&R>
    where
        K: Borrow<Q>,
    {
        let row = self.0.get_mut(key)?;
        change(row);
        record(row.clone(), to);
        Some(row)
    }
}

impl Rows<GrantId, GrantRow> {
    /// Removes a row, here and in the store.
    pub(in crate::decide) fn forget(&mut self, to: &mut impl Recorder, id: GrantId) -> Option<GrantRow> {
        let row = self.0.remove(&id)?;
        to.record(Record::GrantForgotten(id));
        Some(row)
    }
}

impl Rows<CronKey, CronRow> {
    /// Removes a row, here and in the store.
    pub(in crate::decide) fn forget(&mut self, to: &mut impl Recorder, key: CronKey) {
        if self.0.remove(&key).is_some() {
            to.record(Record::CronForgotten(key));
        }
    }
}

impl Rows<ClaimKey, ClaimRow> {
    /// Removes a row, here and in the store.
    pub(in crate::decide) fn forget(&mut self, to: &mut impl Recorder, key: ClaimKey) {
        if self.0.remove(&key).is_some() {
            to.record(Record::ClaimForgotten(key));
        }
    }
}

/// The steps of an attempt that its worker has reported so far, in order of their index.
#[derive(Debug, Default)]
pub struct Steps(Vec<StepRow>);

impl Deref for Steps {
    type Target = [StepRow];

    fn deref(&self) -> &[StepRow] {
        &self.0
    }
}

impl Steps {
    /// Takes steps that were read from the store, without recording them.
    pub(in crate::decide) fn loaded(mut rows: Vec<StepRow>) -> Steps {
        rows.sort_by_key(|row| row.key.step);
        Steps(rows)
    }

    /// The step with this index.
    pub(in crate::decide) fn at(&self, index: u16) -> Option<&StepRow> {
        self.find(index).ok().map(|at| &self.0[at])
    }

    /// Records a step as it is now.
    pub(in crate::decide) fn put(&mut self, to: &mut impl Recorder, row: StepRow) {
        record(row.clone(), to);
        match self.find(row.key.step) {
            Ok(at) => self.0[at] = row,
            Err(at) => self.0.insert(at, row),
        }
    }

    /// Records that the unfinished steps of an attempt have ended, because the master ended the attempt.
    pub(in crate::decide) fn cut_short(self, to: &mut impl Recorder, now: Time, outcome: Outcome) {
        for mut row in self.0.into_iter().filter(|row| row.state != State::Finished) {
            (row.state, row.outcome, row.finished) = (State::Finished, Some(outcome), Some(now));
            record(row, to);
        }
    }

    fn find(&self, index: u16) -> Result<usize, usize> {
        self.0.binary_search_by_key(&index, |row| row.key.step)
    }
}

fn record(row: impl Into<Record>, to: &mut impl Recorder) {
    to.record(row.into());
}

impl From<BuildRow> for Record {
    fn from(row: BuildRow) -> Record {
        Record::Build(row)
    }
}

impl From<JobRow> for Record {
    fn from(row: JobRow) -> Record {
        Record::Job(row)
    }
}

impl From<AttemptRow> for Record {
    fn from(row: AttemptRow) -> Record {
        Record::Attempt(row)
    }
}

impl From<StepRow> for Record {
    fn from(row: StepRow) -> Record {
        Record::Step(row)
    }
}

impl From<GrantRow> for Record {
    fn from(row: GrantRow) -> Record {
        Record::Grant(row)
    }
}

impl From<WorkerRow> for Record {
    fn from(row: WorkerRow) -> Record {
        Record::Worker(row)
    }
}

impl From<CronRow> for Record {
    fn from(row: CronRow) -> Record {
        Record::Cron(row)
    }
}

impl From<ClaimRow> for Record {
    fn from(row: ClaimRow) -> Record {
        Record::Claim(row)
    }
}

impl From<FollowedRow> for Record {
    fn from(row: FollowedRow) -> Record {
        Record::Followed(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::records::{BuildId, JobKey, StepKey};
    use schema::values::Exit;

    fn followed(looked_in: u64) -> FollowedRow {
        FollowedRow { project: "p".to_owned(), address: String::new(), scopes: Vec::new(), looked_in }
    }

    impl Recorder for Vec<Record> {
        fn record(&mut self, record: Record) {
            self.push(record);
        }
    }

    /// The records that were made since the last look.
    fn recorded(effects: &mut Vec<Record>) -> Vec<Record> {
        std::mem::take(effects)
    }

    #[test]
    fn a_row_is_recorded_as_each_change_leaves_it() {
        let mut effects = Vec::new();
        let mut row = Row::new(followed(1), &mut effects);
        assert_eq!(recorded(&mut effects), [Record::Followed(followed(1))]);
        row.edit(&mut effects, |row| row.looked_in = 2);
        assert_eq!(recorded(&mut effects), [Record::Followed(followed(2))]);
        row.edit_unrecorded(|row| row.looked_in = 3);
        assert_eq!((row.looked_in, recorded(&mut effects).len()), (3, 0));
        row.close(&mut effects, |row| row.looked_in += 1);
        assert_eq!(recorded(&mut effects), [Record::Followed(followed(4))]);
        let mut draft = Row::draft(followed(5));
        assert!(recorded(&mut effects).is_empty());
        draft.edit(&mut effects, |_| ());
        assert_eq!(recorded(&mut effects), [Record::Followed(followed(5))]);
    }

    #[test]
    fn rows_are_recorded_by_their_key() {
        let (mut effects, mut rows) = (Vec::new(), Rows(BTreeMap::new()));
        rows.put(&mut effects, "p".to_owned(), followed(1));
        assert!(rows.edit(&mut effects, "q", |row| row.looked_in = 9).is_none());
        rows.edit(&mut effects, "p", |row| row.looked_in = 2);
        assert_eq!(recorded(&mut effects), [Record::Followed(followed(1)), Record::Followed(followed(2))]);
        assert_eq!(rows["p"], followed(2));
    }

    #[test]
    fn steps_stand_in_their_order_and_what_ran_is_cut_short() {
        let step = |index, state| StepRow {
            key: StepKey { job: JobKey { build: BuildId(1), index: 0 }, attempt: 1, step: index },
            name: "s".to_owned(),
            state,
            outcome: None,
            exit: Exit::None,
            started: None,
            finished: None,
            log_size: 0,
            log_hash: Vec::new(),
            tests: None,
        };
        let (mut effects, mut steps) = (Vec::new(), Steps::default());
        for (index, state) in [(2, State::Running), (0, State::Running), (0, State::Finished)] {
            steps.put(&mut effects, step(index, state));
        }
        assert_eq!(recorded(&mut effects).len(), 3);
        assert_eq!(steps.iter().map(|row| row.key.step).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(steps.at(0).map(|row| row.state), Some(State::Finished));
        assert!(steps.at(1).is_none());
        steps.cut_short(&mut effects, Time(7), Outcome::Errored);
        let ended = StepRow { outcome: Some(Outcome::Errored), finished: Some(Time(7)), ..step(2, State::Finished) };
        assert_eq!(recorded(&mut effects), [Record::Step(ended)]);
    }
}
