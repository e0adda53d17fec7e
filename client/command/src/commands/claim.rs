//! `guild claim` says that you look after a red job.

use crate::connected::Connected;
use crate::render::now;
use crate::selector::chooses;
use clap::Args;
use client::Error;
use client::views::{BuildView, LaneView, timestamp};
use schema::limits::CLAIM_REASON;
use schema::values::{Outcome, ShortRef, Time};

#[derive(Args)]
pub(crate) struct ClaimJob {
    /// The job that you look after; for a build or a branch, all jobs of the branch that fail now [default: the build of
    /// HEAD's commit, else the latest of the branch here]
    selector: Option<String>,
    /// The reason, or what you do about it, which everybody sees
    #[arg(long, short, value_name = "WHY", required_unless_present = "release")]
    message: Option<String>,
    /// The last day of the claim, as 2026-12-24, or its end, as 2026-12-24T12:00:00Z [default: in 90 days]; a job that is good again ends it
    #[arg(long, value_name = "DATE", value_parser = parse_end)]
    until: Option<Time>,
    /// Release the job that you name, whoever looks after it; for a build or a branch, all of its claimed jobs
    #[arg(long, conflicts_with_all = ["message", "until"])]
    release: bool,
}

impl ClaimJob {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let reason = self.message.unwrap_or_default();
        if reason.len() > CLAIM_REASON.most {
            return Err(Error::usage(format!("-m must have at most {} bytes", CLAIM_REASON.most)));
        }
        check_release(self.release, self.selector.as_deref())?;
        let (meant, build) = connected.build(self.selector.as_deref()).await?;
        if build.ref_name.is_empty() {
            let text = format!("{} belongs to no branch, so nobody can look after its jobs", build.selector());
            return Err(Error::usage(text).help("name a build of a branch: `guild list` shows them"));
        }
        let guild = connected.guild().await?;
        let branch = guild.branch(&build.project, &build.ref_name).await?;
        let name = ShortRef::of(&build.ref_name).name().to_owned();
        let jobs = chosen(&branch.lanes, meant.job.as_deref(), self.release);
        if jobs.is_empty() {
            let what = if self.release { "is claimed" } else { "fails" };
            return Err(Error::usage(format!("no such job of {} {name} {what}", build.project))
                .help("`guild status` shows the jobs"));
        }
        let (done, stopped) = until_error(&jobs, async |job| match self.release {
            true => guild.release_claim(&build.project, &build.ref_name, job).await,
            false => guild.claim(&build.project, &build.ref_name, job, self.until, &reason).await,
        })
        .await;
        // Some jobs may have been done before an error, so they are printed first.
        let said = if done.is_empty() { Ok(()) } else { say(connected, &build, &done).await };
        stopped.and(said).map(|()| 0)
    }
}

/// Demands a name for a release, because a release without one would take the claims of everybody on the branch here.
fn check_release(is_release: bool, selector: Option<&str>) -> Result<(), Error> {
    if is_release && selector.is_none() {
        return Err(Error::usage("which job do you want to release?")
            .help("name it, or name the branch to release all of its jobs"));
    }
    Ok(())
}

/// Returns the jobs that a name means. A name without a cell, and the name of a build or a branch, mean only jobs that fail or, for a
/// release, that are claimed. A name with a cell means its job, and the master says why it refuses one.
fn chosen<'a>(lanes: &'a [LaneView], wanted: Option<&str>, is_release: bool) -> Vec<&'a str> {
    let has_state = |lane: &LaneView| match is_release {
        true => lane.claim.is_some(),
        false => lane.outcome == Some(Outcome::Failed),
    };
    let is_meant = |lane: &&LaneView| match wanted {
        Some(wanted) if wanted.contains('@') => wanted == lane.job,
        Some(wanted) => chooses(wanted, &lane.job) && has_state(lane),
        None => has_state(lane),
    };
    lanes.iter().filter(is_meant).map(|lane| lane.job.as_str()).collect()
}

/// Acts on each job until an error. Returns the jobs that were done, and the error.
async fn until_error<'a>(
    jobs: &[&'a str],
    act: impl AsyncFn(&str) -> Result<(), Error>,
) -> (Vec<&'a str>, Result<(), Error>) {
    let mut done = Vec::new();
    for job in jobs {
        match act(job).await {
            Ok(()) => done.push(*job),
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

/// Prints who looks after these jobs of a branch now.
async fn say(connected: &Connected, build: &BuildView, jobs: &[&str]) -> Result<(), Error> {
    let printer = &connected.printer;
    let name = ShortRef::of(&build.ref_name).name().to_owned();
    let after = connected.guild().await?.branch(&build.project, &build.ref_name).await?;
    for lane in after.lanes.iter().filter(|lane| jobs.contains(&lane.job.as_str())) {
        let end = lane.claim.as_ref().and_then(|claim| claim.until).map(timestamp).unwrap_or_default();
        let job = format!("{} {name} {}", build.project, lane.job);
        match (printer.wants_json(), &lane.claim) {
            (true, _) => printer.say_json(&serde_json::to_value(lane).unwrap_or_default())?,
            (false, Some(claim)) => printer.say(format!("{job}: {} until {end}", claim.line()))?,
            (false, None) => printer.say(format!("{job}: released"))?,
        }
    }
    Ok(())
}

/// Reads the end of a claim, which must be in the future.
fn parse_end(text: &str) -> Result<Time, String> {
    Some(end_of(text)?).filter(|end| *end > now()).ok_or_else(|| "it must be in the future".to_owned())
}

/// Returns the time that a text means. A day means its last moment here.
fn end_of(text: &str) -> Result<Time, String> {
    let wrong = || "write a day as 2026-12-24, or a time as 2026-12-24T12:00:00Z".to_owned();
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let day: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
            let next = day.tomorrow().map_err(|_| wrong())?;
            next.to_zoned_datetime(jiff::tz::TimeZone::system()).map_err(|_| wrong())?.timestamp()
        }
    };
    Ok(Time(u64::try_from(time.as_millisecond()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::views::ClaimView;

    #[test]
    fn a_name_without_a_cell_means_the_jobs_that_fail() {
        let lane = |job: &str, outcome, is_claimed: bool| LaneView {
            job: job.to_owned(),
            outcome: Some(outcome),
            claim: is_claimed.then(ClaimView::default),
            ..LaneView::default()
        };
        let lanes = [
            lane("test@linux", Outcome::Succeeded, false),
            lane("test@mac", Outcome::Failed, false),
            lane("test@win", Outcome::Failed, true),
            lane("lint", Outcome::Failed, false),
        ];
        assert_eq!(chosen(&lanes, Some("test"), false), ["test@mac", "test@win"]);
        assert_eq!(chosen(&lanes, Some("test"), true), ["test@win"]);
        assert_eq!(chosen(&lanes, Some("test@linux"), false), ["test@linux"], "the master says why it is refused");
        assert_eq!(chosen(&lanes, None, false), ["test@mac", "test@win", "lint"]);
        assert_eq!(chosen(&lanes, None, true), ["test@win"]);
        assert!(chosen(&lanes, Some("doc"), false).is_empty());
    }

    #[test]
    fn a_release_needs_a_name() {
        let error = check_release(true, None).unwrap_err();
        assert_eq!((error.exit_code(), error.way_out().is_empty()), (2, false));
        check_release(true, Some("main")).unwrap();
        check_release(false, None).unwrap();
    }

    #[test]
    fn what_was_done_before_an_error_is_known() {
        let act = async |job: &str| if job == "c" { Err(Error::usage("no")) } else { Ok(()) };
        let (done, stopped) = futures::executor::block_on(until_error(&["a", "b", "c", "d"], act));
        assert_eq!((done, stopped.unwrap_err().to_string()), (vec!["a", "b"], "no".to_owned()));
        let (done, stopped) = futures::executor::block_on(until_error(&["a", "b"], act));
        assert_eq!((done.len(), stopped.is_ok()), (2, true));
    }

    #[test]
    fn a_day_ends_with_its_last_moment() {
        let noon = end_of("2026-12-24T12:00:00Z").unwrap();
        assert_eq!(noon, Time(1_798_113_600_000));
        let day = end_of("2026-12-24").unwrap();
        assert!(day > noon && day.since(noon) <= std::time::Duration::from_secs(36 * 3600), "{day:?}");
        for wrong in ["", "soon", "24.12.2026"] {
            assert!(parse_end(wrong).unwrap_err().starts_with("write a day"), "{wrong}");
        }
    }

    #[test]
    fn a_claim_ends_in_the_future() {
        for past in ["1901-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01", "2020-02-02"] {
            assert_eq!(parse_end(past).unwrap_err(), "it must be in the future", "{past}");
        }
        assert!(parse_end("9000-01-01").is_ok(), "the master knows the latest end");
    }
}
