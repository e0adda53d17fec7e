//! `guild doctor` says what is wrong with this installation and what to do about it. It checks first this machine, then the connection
//! to the master, and then asks the master. If a check cannot be made, that is a finding too, and the other checks go on.

use super::check;
use crate::connected::{Connected, project_of};
use crate::doctor::{self, Finding, Health, Met};
use crate::git::{self, WorkingCopy, normal_address};
use crate::output::{Paint, Shown};
use crate::printer::Printer;
use clap::Args;
use client::words::count;
use client::{Error, Guild};
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use schema::values::Right;
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

const COLUMNS: [&str; 4] = ["verdict", "subject", "seen", "remedy"];
const PIPELINE: &str = "guild.toml";
/// How long the master may take for its own checks. It needs a few seconds at most.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if nothing is bad; 4 if something is; 5 if there is no credential, or the master does not accept it; \
                        6 if the master cannot be reached, or speaks another protocol"
)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        connected.printer.note(format!("guild {}", env!("CARGO_PKG_VERSION")));
        let mut findings = vec![doctor::git(git::version().as_deref())];
        findings.extend(connected.copy().map(|copy| pipeline(connected, copy)));
        let opened = doctor::credential(connected.context());
        findings.extend(opened.findings);
        let no_link = match opened.usable {
            Ok((reference, identity)) => look_beyond(connected, &reference, identity, &mut findings).await.err(),
            Err(error) => Some(error),
        };
        say(&connected.printer, &findings)?;
        Ok(doctor::status(&findings, no_link.as_ref()))
    }
}

/// Checks the connection to the master, and asks the master itself. An error means that there is no link; the findings say so too.
async fn look_beyond(
    connected: &Connected,
    reference: &SturdyRef,
    identity: Rc<Identity>,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let addresses = doctor::address(reference).await;
    let is_cut_off = addresses.iter().all(|finding| finding.verdict == Health::Bad);
    findings.extend(addresses);
    if is_cut_off {
        return Err(Error::Unreachable(String::new()));
    }
    let met = doctor::meet(reference, identity).await;
    findings.push(doctor::link(reference, met.as_ref().map(|met| met.took)));
    let Met { guild, who, .. } = met?;
    findings.push(doctor::grant(&who.grant, connected.printer.look.now));
    findings.extend(project(connected, &guild).await);
    match who.grant.what.may.contains(&Right::Operate) {
        true => findings.extend(master(&guild).await),
        false => connected.printer.note("the checks of the master are left out, because they need the right `operate`"),
    }
    Ok(())
}

fn pipeline(connected: &Connected, copy: &WorkingCopy) -> Finding {
    let file = copy.toplevel.join(PIPELINE);
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) => return without_pipeline(connected, copy, &format!("{}: {error}", file.display())),
    };
    match check::plan(connected, &file, &text) {
        Ok(plan) => Finding::good(PIPELINE, format!("{}: {}", file.display(), count(plan.jobs.len(), "job"))),
        Err(diagnostics) => {
            let first = diagnostics.0.first().map(|one| one.message.clone()).unwrap_or_default();
            let seen = format!("{}: {}, first: {first}", file.display(), count(diagnostics.0.len(), "error"));
            Finding::bad(PIPELINE, seen, "run `guild check` to see all of them")
        }
    }
}

/// Returns the finding for a repository without a pipeline file. `guild-master up` guesses one, but other masters build nothing.
fn without_pipeline(connected: &Connected, copy: &WorkingCopy, seen: &str) -> Finding {
    let is_of_up = connected.context().is_ok_and(|context| context.repository.is_some());
    match pipeline::infer(&copy.toplevel).filter(|_| is_of_up) {
        Some(inferred) => Finding::good(
            PIPELINE,
            format!("there is none, so it is guessed from {}; `guild init` saves it", inferred.saw),
        ),
        None => Finding::warned(PIPELINE, seen, "run `guild init` to write one"),
    }
}

/// Returns the finding whether the master knows the repository here. Returns `None` if there is no repository, or if the caller may not
/// see projects.
async fn project(connected: &Connected, guild: &Guild) -> Option<Finding> {
    const SUBJECT: &str = "project here";
    let copy = connected.copy()?;
    let projects = match patiently(guild.projects()).await {
        Ok(projects) => projects,
        Err(Error::NotHeld(_)) => return None,
        Err(error) => return Some(Finding::bad(SUBJECT, error.to_string(), "guild project list")),
    };
    Some(match project_of(copy, &projects) {
        Some(project) => Finding::good(SUBJECT, project.name.clone()),
        None => {
            let here: Vec<String> = copy.remotes.iter().map(|remote| normal_address(remote)).collect();
            let here = if here.is_empty() { copy.toplevel.display().to_string() } else { here.join(", ") };
            let seen = format!("{here} is not one of the projects that you may see");
            let remedy = "compare `guild project list` with `repo` and `aliases` in [project.NAME] of the master file";
            Finding::warned(SUBJECT, seen, remedy)
        }
    })
}

async fn master(guild: &Guild) -> Vec<Finding> {
    let error = match patiently(guild.examine()).await {
        Ok(findings) => return findings,
        Err(error) => error,
    };
    // An older master does not have this call.
    vec![match matches!(error, Error::Protocol(_)) {
        true => {
            let remedy = "upgrade the master; compare `guild-master --version` there with `guild --version` here";
            Finding::warned("master", error.to_string(), remedy)
        }
        false => Finding::bad("master", error.to_string(), "read its log, then run `guild doctor` again"),
    }]
}

async fn patiently<T>(asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(Error::Timeout(PATIENCE)))
}

fn say(printer: &Printer, findings: &[Finding]) -> Result<(), Error> {
    let rows: Vec<Value> = findings.iter().map(|one| serde_json::to_value(one).unwrap_or_default()).collect();
    match printer.look.terminal && !printer.wants_json() && printer.chosen_columns().is_empty() {
        true => printer.say_whole(&for_a_person(printer, findings, &rows)),
        false => printer.say_rows(&rows, &COLUMNS),
    }
}

/// Returns a table with the remedy below each row, because a column of commands would leave no room for the other columns.
fn for_a_person(printer: &Printer, findings: &[Finding], rows: &[Value]) -> Shown {
    let columns = COLUMNS[..3].iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let table = printer.look.table(rows, &columns, false);
    let with_remedies = table.each_line().zip(findings).map(|(line, finding)| match finding.remedy.as_str() {
        "" => line.and_literal("\n"),
        remedy => {
            let remedy = printer.look.painted(remedy, Paint::Strong);
            line.and_literal("\n").and(Shown::spaces(10)).and_literal("do: ").and(remedy).and_literal("\n")
        }
    });
    Shown::join(with_remedies, "")
}
