//! Finds what is wrong between a person and the master, and what to do about it. Each check becomes a [`Finding`]. Prints nothing and
//! changes nothing. The master checks itself ([`client::Guild::examine`]).
//!
//! The checks, in an order in which each needs the previous one: [`credential`], [`address`], [`link`], [`grant`].

mod credential;
mod link;
#[cfg(test)]
mod tests;

pub(crate) use credential::credential;
pub(crate) use link::{Met, address, grant, link, meet};
pub(crate) use schema::values::{Finding, Health};

use client::Error;

/// Returns the exit status for all findings. Without a link, it is the status of the error. Otherwise it says whether a finding is bad.
pub(crate) fn status(findings: &[Finding], no_link: Option<&Error>) -> u8 {
    const BAD: u8 = 4;
    let is_bad = findings.iter().any(|finding| finding.verdict == Health::Bad);
    no_link.map_or(if is_bad { BAD } else { 0 }, Error::exit_code)
}

/// Returns the remedy of an error, or `otherwise` if the error has none.
fn way_out(error: &Error, otherwise: &str) -> String {
    if error.way_out().is_empty() { otherwise.to_owned() } else { error.way_out().to_owned() }
}

/// Returns the finding for git on this machine. `None` means that git does not run.
pub(crate) fn git(version: Option<&str>) -> Finding {
    match version {
        Some(version) => Finding::good("git", version),
        None => {
            let seen = "it does not run, so the repository here is not recognised";
            Finding::warned("git", seen, "install git, and make sure that PATH finds it: git --version")
        }
    }
}
