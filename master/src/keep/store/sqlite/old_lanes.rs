//! Makes lanes from the jobs in history. A store of version 0.1 has no lanes, so they are made once, when it is opened.

use super::tables::{Tables, builds, lanes};
use crate::decide::coordinator::lane::{Lane, LaneResult};
use crate::decide::coordinator::record::{BuildRow, JobRow};
use rusqlite::Transaction;
use schema::values::{Outcome, Trust};
use std::collections::BTreeMap;

/// Makes every lane again from the rows of builds and jobs.
pub(super) fn rebuild(to: &Transaction<'_>) -> rusqlite::Result<()> {
    let sql = format!(
        "select {} from builds where ref_update > 0 order by project, ref, ref_update, number",
        builds::COLUMNS
    );
    let mut statement = to.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut of_ref = RefLanes::default();
    while let Some(row) = rows.next()? {
        let build = builds::read(row)?;
        if build.trust != Trust::Trusted {
            continue;
        }
        let Some(source) = build.stamp.sources.first() else { continue };
        let key = (build.project.clone(), source.ref_name.clone());
        if of_ref.key != key {
            std::mem::replace(&mut of_ref, RefLanes { key, lanes: BTreeMap::new() }).write(to)?;
        }
        let jobs = Tables(to).jobs(build.id)?.into_iter();
        jobs.filter_map(|job| result_of(&build, job)).for_each(|(job, result)| of_ref.add(job, result));
    }
    of_ref.write(to)
}

/// The lanes of one ref while they are being made.
#[derive(Default)]
struct RefLanes {
    key: (String, String),
    lanes: BTreeMap<String, Lane>,
}

impl RefLanes {
    fn add(&mut self, job: String, result: LaneResult) {
        self.lanes.entry(job).or_default().add(result);
    }

    fn write(self, to: &Transaction<'_>) -> rusqlite::Result<()> {
        let (project, ref_name) = &self.key;
        self.lanes.iter().try_for_each(|(job, lane)| lanes::write(to, (project, ref_name, job), lane))
    }
}

/// Returns the result of a job in its lane; `None` if the job was skipped, was carried or is not finished.
fn result_of(build: &BuildRow, job: JobRow) -> Option<(String, LaneResult)> {
    let outcome = job.outcome.filter(|outcome| *outcome != Outcome::Skipped && job.carried_from == 0)?;
    let revision = build.stamp.sources.first()?.revision.clone();
    let (update, number) = (build.update, build.number);
    Some((job.name, LaneResult { update, build: number, outcome, finished: job.finished?, revision }))
}
