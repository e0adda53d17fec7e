//! `guild claim` says that you look after a red job.

use crate::connected::Connected;
use clap::Args;
use client::Error;
use client::views::timestamp;
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
    /// Release the job, whoever looks after it
    #[arg(long, conflicts_with_all = ["message", "until"])]
    release: bool,
}

impl ClaimJob {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let reason = self.message.unwrap_or_default();
        if reason.len() > CLAIM_REASON.most {
            return Err(Error::usage(format!("-m must have at most {} bytes", CLAIM_REASON.most)));
        }
        let (meant, build) = connected.build(self.selector.as_deref()).await?;
        if build.ref_name.is_empty() {
            let text = format!("{} belongs to no branch, so nobody can look after its jobs", build.selector());
            return Err(Error::usage(text).help("name a build of a branch: `guild list` shows them"));
        }
        let guild = connected.guild().await?;
        let branch = guild.branch(&build.project, &build.ref_name).await?;
        let is_meant = |job: &str, is_red: bool, is_claimed: bool| match (&meant.job, self.release) {
            (Some(_), _) => meant.chooses(job),
            (None, true) => is_claimed,
            (None, false) => is_red,
        };
        let lanes = branch.lanes.iter();
        let lanes: Vec<_> = lanes
            .filter(|lane| is_meant(&lane.job, lane.outcome == Some(Outcome::Failed), lane.claim.is_some()))
            .collect();
        let name = ShortRef::of(&build.ref_name).name().to_owned();
        if lanes.is_empty() {
            let what = if self.release { "is claimed" } else { "fails" };
            return Err(Error::usage(format!("no such job of {} {name} {what}", build.project))
                .help("`guild status` shows the jobs"));
        }
        for lane in &lanes {
            match self.release {
                true => guild.release_claim(&build.project, &build.ref_name, &lane.job).await?,
                false => guild.claim(&build.project, &build.ref_name, &lane.job, self.until, &reason).await?,
            }
        }
        let after = guild.branch(&build.project, &build.ref_name).await?;
        for lane in after.lanes.iter().filter(|lane| lanes.iter().any(|it| it.job == lane.job)) {
            let end = lane.claim.as_ref().and_then(|claim| claim.until).map(timestamp).unwrap_or_default();
            match (connected.printer.wants_json(), &lane.claim) {
                (true, _) => connected.printer.say_json(&serde_json::to_value(lane).unwrap_or_default())?,
                (false, Some(claim)) => {
                    connected.printer.say(format!(
                        "{} {name} {}: {} until {end}",
                        build.project,
                        lane.job,
                        claim.line()
                    ))?;
                }
                (false, None) => connected.printer.say(format!("{} {name} {}: released", build.project, lane.job))?,
            }
        }
        Ok(0)
    }
}

/// Reads the end of a claim. A day ends with its last moment here.
fn parse_end(text: &str) -> Result<Time, String> {
    let wrong = || "write a day as 2026-12-24, or a time as 2026-12-24T12:00:00Z".to_owned();
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let day: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
            let next = day.tomorrow().map_err(|_| wrong())?;
            next.to_zoned_datetime(jiff::tz::TimeZone::system()).map_err(|_| wrong())?.timestamp()
        }
    };
    u64::try_from(time.as_millisecond()).map(Time).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_with_its_last_moment() {
        let noon = parse_end("2026-12-24T12:00:00Z").unwrap();
        assert_eq!(noon, Time(1_798_113_600_000));
        let day = parse_end("2026-12-24").unwrap();
        assert!(day > noon && day.since(noon) <= std::time::Duration::from_secs(36 * 3600), "{day:?}");
        for wrong in ["", "soon", "24.12.2026", "1901-01-01T00:00:00Z"] {
            parse_end(wrong).unwrap_err();
        }
    }
}
