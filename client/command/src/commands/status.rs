//! `guild status` shows the latest build of this branch, or of each project.

use crate::blame;
use crate::connected::{Connected, exit_status};
use crate::matrix;
use crate::output::Shown;
use crate::printer::Printer;
use crate::render::{build_row, job_row, one_line, status_word, symbol};
use crate::resolve::By;
use crate::terminal_size::TerminalSize;
use clap::Args;
use client::views::{BranchView, BuildView, LaneView, RedRange};
use client::{BuildQuery, Error, SuspectQuery};
use schema::values::{Outcome, ShortRef, State};
use serde_json::Value;

const COLUMNS: [&str; 6] = ["selector", "status", "platform", "duration", "reason", "tests"];

#[derive(Args)]
pub(crate) struct Status {
    /// The build, branch, tag or commit to show [default: the build of HEAD's commit, else the latest of the branch here]
    selector: Option<String>,
}

/// A build, and the branch whose tip the build is.
struct TipView {
    build: BuildView,
    /// The branch. `None` means that the selector named the build itself, or that the build is not the tip of a branch.
    branch: Option<BranchView>,
    /// The ranges of commits that may have broken the failing jobs.
    ranges: Vec<RedRange>,
}

impl Status {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let shown = self.shown(connected).await?;
        let printer = &connected.printer;
        match (printer.wants_json(), printer.look.terminal && printer.chosen_columns().is_empty()) {
            (true, _) => printer.say_rows(&shown.iter().flat_map(TipView::rows).collect::<Vec<_>>(), &COLUMNS)?,
            (false, true) => {
                let pictures = shown.iter().map(|shown| shown.picture(printer));
                printer.say_whole(&Shown::join(pictures, "\n"))?;
            }
            (false, false) => {
                // A caller that chooses columns wants the columns of jobs, so the line of the build is left out.
                let has_head = printer.chosen_columns().is_empty();
                let head = |shown: &TipView| has_head.then(|| shown.head());
                let rows = shown.iter().flat_map(|shown| head(shown).into_iter().chain(shown.rows()));
                printer.say_rows(&rows.collect::<Vec<_>>(), &COLUMNS)?;
            }
        }
        for shown in &shown {
            if !printer.wants_json() && shows_ranges(printer) {
                blame::say(printer, &shown.ranges)?;
            }
            hint(&connected.printer, &shown.build);
        }
        let worst = shown.iter().filter_map(TipView::outcome).max();
        Ok(worst.filter(|_| connected.options.exit_status).map_or(0, exit_status))
    }

    async fn shown(&self, connected: &Connected) -> Result<Vec<TipView>, Error> {
        let is_of_all = connected.project_here().await?.is_none() && connected.projects().await?.len() != 1;
        if self.selector.is_some() || !is_of_all {
            let (meant, build) = connected.build(self.selector.as_deref()).await?;
            if meant.by == By::Checkout {
                connected.say_unbuilt_head(&build).await?;
            }
            let is_named = matches!(meant.by, By::Number | By::Commit(_));
            return Ok(vec![TipView::of(connected, build, is_named).await?]);
        }
        let guild = connected.guild().await?;
        let mut shown = Vec::new();
        for project in connected.projects().await? {
            let query = BuildQuery { project: project.name.clone(), limit: 1, ..BuildQuery::default() };
            if let Some(build) = guild.builds(&query).await?.first() {
                let build = guild.build(&build.project, build.number).await?;
                shown.push(TipView::of(connected, build, false).await?);
            }
        }
        Ok(shown)
    }
}

impl TipView {
    async fn of(connected: &Connected, build: BuildView, is_named: bool) -> Result<TipView, Error> {
        if is_named || build.ref_name.is_empty() {
            let ranges = TipView::ranges_of(connected, &build, None).await;
            return Ok(TipView { build, branch: None, ranges });
        }
        // A master of 0.1 does not know branches.
        let branch = connected.guild().await?.branch(&build.project, &build.ref_name).await.ok();
        let branch = branch.filter(|branch| branch.tip_revision == build.revision);
        let ranges = TipView::ranges_of(connected, &build, branch.as_ref()).await;
        Ok(TipView { build, branch, ranges })
    }

    /// Returns where the failing jobs of the branch or the build broke. Asks nothing if the output has no room for it.
    async fn ranges_of(connected: &Connected, build: &BuildView, branch: Option<&BranchView>) -> Vec<RedRange> {
        if !shows_ranges(&connected.printer) {
            return Vec::new();
        }
        match branch {
            None => blame::of_build(connected, build, "").await,
            Some(branch) if branch.outcome == Some(Outcome::Failed) => {
                let (project, ref_name) = (build.project.clone(), branch.ref_name.clone());
                blame::asked(connected, &SuspectQuery { project, ref_name, ..SuspectQuery::default() }).await
            }
            Some(_) => Vec::new(),
        }
    }

    /// Returns the outcome of the branch if it is shown, or else of the build. A job of the tip that was skipped, cancelled or lost
    /// does not change the outcome of the branch.
    fn outcome(&self) -> Option<Outcome> {
        match &self.branch {
            Some(branch) => branch.outcome.or_else(|| branch.errored.then_some(Outcome::Errored)),
            None => self.build.outcome,
        }
    }

    /// Returns the row of the build itself, which is above the rows of its jobs.
    fn head(&self) -> Value {
        let mut row = build_row(&self.build);
        row["reason"] = one_line(&self.build).into();
        row
    }

    fn rows(&self) -> Vec<Value> {
        let rows = self.build.jobs.iter().map(|job| {
            let mut row = job_row(&self.build, job);
            if let Some(lane) = self.lane(&job.name) {
                row["lane"] = lane.outcome.map(Outcome::word).into();
                row["lane_since"] = lane.since.into();
                row["claim"] = serde_json::to_value(&lane.claim).unwrap_or_default();
            }
            row["suspects"] = blame::of_job(&self.ranges, &job.name);
            row
        });
        rows.collect()
    }

    fn lane(&self, job: &str) -> Option<&LaneView> {
        self.branch.as_ref()?.lanes.iter().find(|lane| lane.job == job)
    }

    fn picture(&self, printer: &Printer) -> Shown {
        let text = matrix::picture(&self.build, &printer.look, TerminalSize::of_process().width);
        let Some(branch) = self.branch.as_ref().filter(|branch| branch.outcome.is_some()) else { return text };
        let (symbol, paint) = symbol(State::Finished, branch.outcome);
        let word = status_word(State::Finished, branch.outcome);
        let failing = branch.lanes.iter().filter(|lane| lane.since > 0);
        let failing = failing.map(|lane| {
            let claim = lane.claim.as_ref().map_or_else(String::new, |claim| format!(" ({})", claim.line()));
            Shown::line(&format!("{} since {}/{}{claim}", lane.job, self.build.project, lane.since))
        });
        let name = Shown::line(&format!("branch {}", ShortRef::of(&branch.ref_name)));
        let mut words = vec![name, printer.look.painted(&format!("{symbol} {word}"), paint)];
        words.extend(failing);
        if branch.errored {
            words.push(Shown::literal("the newest run of a job errored, which says nothing about the code"));
        }
        text.and(Shown::join(words, "  ")).and_literal("\n")
    }
}

/// Whether the output says who may have broken a job. A program reads the lines of a pipe as rows, and finds the suspects with --json.
fn shows_ranges(printer: &Printer) -> bool {
    printer.wants_json() || (printer.look.terminal && printer.chosen_columns().is_empty())
}

fn hint(printer: &Printer, build: &BuildView) {
    if !build.diagnosis.is_empty() {
        printer.note_lines(&build.diagnosis);
    }
    if build.jobs.iter().any(|job| job.is_bad()) {
        let build = build.selector();
        printer.note(format!("next: guild logs {build} --failed      guild retry {build} --failed"));
    }
}
