//! Finds who may have broken a lane, by the ancestry of commits. Pages, the command and programs get the same answer, because all of
//! them ask here.
//!
//! The first bad build is the oldest failure of the series whose commit the newest failure has. A failure that a force-push took away
//! therefore accuses nobody. The suspects are the commits that the first bad build has and no good build has.

use crate::decide::coordinator::lane::{Lane, LaneResult, Mark, is_bad};
use crate::explain::{LaneBreak, Suspect, suspects};
use crate::keep::mirror::CommitRange;
use futures::future::LocalBoxFuture;
use schema::limits::SUSPECTS;

/// The most good results whose commits are excluded. The newest ones exclude nearly all that older ones do.
const GOOD_MAX: usize = 16;

/// An answer about commits that comes later.
pub(in crate::serve) type Found<'a, T> = LocalBoxFuture<'a, Result<T, String>>;

/// `Ancestry` answers questions about the commits of one repository.
pub(in crate::serve) trait Ancestry {
    /// Whether `ancestor` is reachable from `revision` or is the same commit. False if one of them is unknown.
    fn is_ancestor<'a>(&'a self, ancestor: &'a str, revision: &'a str) -> Found<'a, bool>;
    /// Returns the commits that `tip` has and `without` have not, the newest first. If `without` is empty, returns only the tip.
    fn range<'a>(&'a self, tip: &'a str, without: &'a [String], limit: u32) -> Found<'a, CommitRange>;
    /// Returns the commit with which a build was compared when it was made. `None` means that there is none.
    fn base<'a>(&'a self, build: u32) -> Found<'a, Option<String>>;
}

/// A `Broken` says where a lane broke, and who may have broken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Broken {
    /// The build in which the present failures began.
    pub first_bad: Mark,
    /// The last good build before it; `None` means that none is known.
    pub last_good: Option<Mark>,
    /// Whether `last_good` is a build of the main branch.
    pub is_of_main: bool,
    pub range: RangeKind,
    /// The newest suspects, the newest first, with those that were undone.
    pub suspects: Vec<Suspect>,
    /// The number of further commits that are not listed.
    pub left_out: u32,
}

/// How well the commits are known among which the cause is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) enum RangeKind {
    /// All commits after a good build are listed.
    Exact,
    /// There are more commits than are listed.
    Cut,
    /// No good build is known, so older commits may also be the cause.
    Open,
    /// A good build has all these commits, so none of them is the cause.
    Same,
    /// The lane was red on the main branch, in this build, where this branch began.
    Inherited(Mark),
}

/// Finds where the failures of a lane began, and who may have broken it. `main` is the same lane on the main branch, if that is another
/// one.
pub(in crate::serve) async fn find(
    commits: &impl Ancestry,
    LaneBreak { failures, mut good }: LaneBreak,
    main: Option<&Lane>,
) -> Result<Option<Broken>, String> {
    let Some(first_bad) = first_bad(commits, &failures).await? else { return Ok(None) };
    let own = good.last().cloned();
    let fork = match main {
        Some(main) => at_fork(commits, main, &first_bad.revision).await?,
        None => None,
    };
    match fork {
        Some((mark, true)) if !is_overcome(commits, &mark, own.as_ref()).await? => {
            return Ok(Some(Broken::inherited(first_bad, own, mark)));
        }
        Some((mark, false)) => good.push(mark),
        Some((_, true)) | None => {}
    }
    let (last_good, is_of_main) = (own.clone().or_else(|| good.last().cloned()), own.is_none() && !good.is_empty());
    let (found, range) = between(commits, &first_bad, &good).await?;
    let suspects = suspects(found.commits);
    Ok(Some(Broken { first_bad, last_good, is_of_main, range, suspects, left_out: found.left_out }))
}

impl Broken {
    /// Whether two lanes broke together, between the same builds and with the same suspects.
    pub(in crate::serve) fn is_with(&self, other: &Broken) -> bool {
        let builds = |it: &Broken| (it.first_bad.build, it.last_good.as_ref().map(|good| good.build));
        let before = |it: &Broken| match &it.range {
            RangeKind::Inherited(mark) => Some(mark.build),
            RangeKind::Exact | RangeKind::Cut | RangeKind::Open | RangeKind::Same => None,
        };
        let is_same_kind = std::mem::discriminant(&self.range) == std::mem::discriminant(&other.range);
        is_same_kind
            && builds(self) == builds(other)
            && before(self) == before(other)
            && (&self.suspects, self.left_out) == (&other.suspects, other.left_out)
    }

    fn inherited(first_bad: Mark, last_good: Option<Mark>, before: Mark) -> Broken {
        let range = RangeKind::Inherited(before);
        Broken { first_bad, last_good, is_of_main: false, range, suspects: Vec::new(), left_out: 0 }
    }
}

/// Returns the oldest failure whose commit the newest failure has.
async fn first_bad(commits: &impl Ancestry, failures: &[Mark]) -> Result<Option<Mark>, String> {
    let Some((newest, older)) = failures.split_last() else { return Ok(None) };
    for failure in older {
        if commits.is_ancestor(&failure.revision, &newest.revision).await? {
            return Ok(Some(failure.clone()));
        }
    }
    Ok(Some(newest.clone()))
}

/// Returns the newest result of the main branch whose commit is an ancestor of `revision`, and whether it is bad.
async fn at_fork(commits: &impl Ancestry, main: &Lane, revision: &str) -> Result<Option<(Mark, bool)>, String> {
    for result in main.results.iter().rev().filter(|result| result.counts()) {
        if commits.is_ancestor(&result.revision, revision).await? {
            return Ok(Some((mark(result), is_bad(result.outcome))));
        }
    }
    Ok(None)
}

fn mark(result: &LaneResult) -> Mark {
    Mark { build: result.build, revision: result.revision.clone(), finished: result.finished }
}

/// Whether the branch has the bad commit of the main branch, and was good all the same.
async fn is_overcome(commits: &impl Ancestry, bad: &Mark, good: Option<&Mark>) -> Result<bool, String> {
    match good {
        Some(good) => commits.is_ancestor(&bad.revision, &good.revision).await,
        None => Ok(false),
    }
}

/// Returns the commits that the first bad build has and no good build has.
async fn between(commits: &impl Ancestry, first_bad: &Mark, good: &[Mark]) -> Result<(CommitRange, RangeKind), String> {
    let limit = u32::try_from(SUSPECTS.most).unwrap_or(u32::MAX);
    let mut without: Vec<String> = good.iter().rev().take(GOOD_MAX).map(|mark| mark.revision.clone()).collect();
    without.dedup();
    if without.is_empty() {
        let base: Vec<String> = commits.base(first_bad.build).await?.into_iter().collect();
        return Ok((commits.range(&first_bad.revision, &base, limit).await?, RangeKind::Open));
    }
    let found = commits.range(&first_bad.revision, &without, limit).await?;
    let kind = match (found.commits.is_empty(), found.left_out) {
        // An unknown commit has no ancestors, and is not the same as a good one.
        (true, _) if !is_within(commits, first_bad, &without).await? => RangeKind::Open,
        (true, _) => RangeKind::Same,
        (false, 0) => RangeKind::Exact,
        (false, _) => RangeKind::Cut,
    };
    Ok((found, kind))
}

/// Whether one of these commits has the commit of the first bad build.
async fn is_within(commits: &impl Ancestry, first_bad: &Mark, good: &[String]) -> Result<bool, String> {
    for good in good {
        if *good == first_bad.revision || commits.is_ancestor(&first_bad.revision, good).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[path = "blame_tests.rs"]
mod tests;
