//! The call that finds who may have broken a branch. It needs the right `view`.

use crate::error::Error;
use crate::guild::Guild;
use crate::steer::done;
use crate::views::{RedRange, SuspectView};
use crate::wire::{moment, read_list};
use schema::limits::{
    self, CO_AUTHORS, COMMIT, COMMIT_LINE, JOB, JOBS, PERSON, RED_RANGES, REF, SENTENCE, SUSPECTS, WORD_TOLD,
};
use schema::perspective_capnp::{red_range, suspect};

/// A query for the suspects of a red branch, of a build or of a test. A field that is empty or 0 does not narrow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuspectQuery {
    /// The name of the project.
    pub project: String,
    /// The full or short name of a branch or a tag; "" stands for the main branch.
    pub ref_name: String,
    /// The number of the build whose failed jobs are asked for; 0 stands for the jobs that fail now.
    pub build: u32,
    /// The name of the job with its cell.
    pub job: String,
    /// The number of the test in its project; 0 stands for the job itself. It needs a job.
    pub test: u32,
}

impl Guild {
    /// Returns where the jobs of a branch broke, and who may have broken them, at most 20 ranges. The flag says whether there are more.
    /// Returns none for a master up to version 0.2.
    pub async fn suspects(&self, query: &SuspectQuery) -> Result<(Vec<RedRange>, bool), Error> {
        let asked = self.call(async |link| {
            let mut request = link.viewer().await?.suspects_request();
            let mut ask = request.get();
            ask.set_project(&query.project);
            ask.set_ref(&query.ref_name);
            ask.set_build(query.build);
            ask.set_job(&query.job);
            ask.set_test(query.test);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok((read_list(answer.get_ranges(), &RED_RANGES, read_range)?, answer.get_more()))
        });
        match asked.await {
            Err(error) if error.is_unimplemented() => Ok((Vec::new(), false)),
            answer => answer.map_err(|error| error.about("the suspects")),
        }
    }
}

fn read_range(from: red_range::Reader<'_>) -> Result<RedRange, Error> {
    Ok(RedRange {
        ref_name: limits::text(from.get_ref(), &REF.told())?,
        jobs: limits::texts(from.get_jobs(), &JOBS.told(), &JOB.told())?,
        first_bad: from.get_first_bad(),
        first_bad_revision: limits::text(from.get_first_bad_revision(), &COMMIT.told())?,
        last_good: from.get_last_good(),
        last_good_revision: limits::text(from.get_last_good_revision(), &COMMIT.told())?,
        kind: limits::text(from.get_kind(), &WORD_TOLD)?,
        text: limits::text(from.get_text(), &SENTENCE)?,
        suspects: read_list(from.get_suspects(), &SUSPECTS, read_suspect)?,
        left_out: from.get_left_out(),
        red_before: from.get_red_before(),
    })
}

fn read_suspect(from: suspect::Reader<'_>) -> Result<SuspectView, Error> {
    Ok(SuspectView {
        revision: limits::text(from.get_revision(), &COMMIT.told())?,
        author: limits::text(from.get_author(), &PERSON)?,
        committer: limits::text(from.get_committer(), &PERSON)?,
        co_authors: limits::texts(from.get_co_authors(), &CO_AUTHORS, &PERSON)?,
        time: moment(from.get_time()),
        subject: limits::text(from.get_subject(), &COMMIT_LINE)?,
        kind: limits::text(from.get_kind(), &WORD_TOLD)?,
        text: limits::text(from.get_text(), &SENTENCE)?,
        undone_with: limits::text(from.get_undone_with(), &COMMIT.told())?,
    })
}
