//! `guild notify` tells the master that refs changed. In a post-receive hook the refs come on standard input.

use crate::connected::Connected;
use crate::output::Shown;
use clap::Args;
use client::Error;
use client::views::ProjectView;
use schema::values::{RefusalCode, ShortRef, branch_ref};
use std::io::IsTerminal as _;

/// The number of refs beyond which one call tells the master to look at all refs, because each named ref costs it a fetch.
const REFS_MAX: usize = 1_000;

#[derive(Args)]
pub(crate) struct Notify {
    /// The project whose repository changed [default: the project of the repository here, else the only project that you may see]
    #[arg(long)]
    project: Option<String>,
    /// The ref that changed [default: the refs on standard input, one "OLD NEW REF" per line, else the branch here]
    #[arg(long = "ref", value_name = "REF")]
    ref_name: Option<String>,
}

/// The refs to name to the master.
#[derive(Debug, PartialEq, Eq)]
enum Changed {
    Refs(Vec<String>),
    /// More refs changed than [`REFS_MAX`].
    Everything,
}

impl Notify {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let view = match &self.project {
            // A credential that may only tell the master of changes cannot look at projects.
            Some(_) => None,
            None => Some(connected.project(None).await?),
        };
        let changed = self.changed(connected, view)?;
        let project = self.project.clone().or(view.map(|view| view.name.clone())).unwrap_or_default();
        match changed {
            Changed::Refs(refs) => tell(connected, &project, &refs).await?,
            Changed::Everything => tell_of_all(connected, &project).await?,
        }
        Ok(0)
    }

    fn changed(&self, connected: &Connected, view: Option<&ProjectView>) -> Result<Changed, Error> {
        if let Some(ref_name) = &self.ref_name {
            return Ok(Changed::Refs(vec![full(ref_name)]));
        }
        if !std::io::stdin().is_terminal() {
            let pushed = read_pushed(std::io::stdin().lock(), |name| {
                connected.printer.note(format!("{name} is skipped, because it is neither a branch nor a tag"));
            })?;
            if let Some(changed) = pushed {
                return Ok(changed);
            }
        }
        match connected.branch(view) {
            Some(branch) => Ok(Changed::Refs(vec![branch])),
            None => Err(Error::usage("which ref changed?").help("name it with --ref BRANCH")),
        }
    }
}

/// Tells the master of each ref. If there are several and the master refuses one as invalid, a note says so, and the others follow. Any
/// other error ends the command, so the person who pushed sees its exit status.
async fn tell(connected: &Connected, project: &str, refs: &[String]) -> Result<(), Error> {
    let guild = connected.guild().await?;
    for ref_name in refs {
        match guild.notify(project, ref_name).await {
            Ok(0) => connected.printer.note(format!("{project}: no build is made for {ref_name}")),
            Ok(number) => {
                connected.printer.say(Shown::join([format!("{project}/{number}").into(), ref_name.into()], "\t"))?
            }
            Err(Error::Refused(refusal)) if refusal.code == RefusalCode::Invalid && refs.len() > 1 => {
                connected.printer.note(format!("{project}: {ref_name} is skipped: {}", refusal.text));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn tell_of_all(connected: &Connected, project: &str) -> Result<(), Error> {
    match connected.guild().await?.notify(project, "").await {
        Ok(_) => connected
            .printer
            .note(format!("{project}: more than {REFS_MAX} refs changed, so the master looked at all refs")),
        Err(Error::Refused(refusal)) if refusal.code == RefusalCode::Invalid => {
            connected.printer.note(format!(
                "{project}: more than {REFS_MAX} refs changed, so this master looks at them at its next poll"
            ));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn full(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { branch_ref(name) }
}

/// Whether a ref is a branch or a tag.
fn can_be_built(ref_name: &str) -> bool {
    !matches!(ShortRef::of(ref_name), ShortRef::Other(_))
}

/// Reads the lines that git gives a post-receive hook (githooks(5)). Returns `None` if there are none. Calls `pass_over` with each ref
/// that is never built, such as notes and pull requests of a forge.
fn read_pushed(input: impl std::io::BufRead, mut pass_over: impl FnMut(&str)) -> Result<Option<Changed>, Error> {
    let (mut refs, mut lines) = (Vec::new(), 0);
    for line in input.lines() {
        let line = line.map_err(|error| Error::file("standard input", error))?;
        match line.trim_end_matches('\r').split(' ').collect::<Vec<_>>().as_slice() {
            [""] => continue,
            [_old, _new, name] if can_be_built(name) => refs.push((*name).to_owned()),
            [_old, _new, name] if name.starts_with("refs/") => pass_over(name),
            _ => {
                return Err(Error::usage(format!("standard input: `{line}` is not \"OLD NEW REF\""))
                    .help("name the ref with --ref instead"));
            }
        }
        lines += 1;
    }
    Ok(match (lines, refs.len()) {
        (0, _) => None,
        (_, count) if count > REFS_MAX => Some(Changed::Everything),
        (_, _) => Some(Changed::Refs(refs)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the refs to name to the master, and the refs that are skipped.
    fn read(input: &str) -> (Option<Changed>, Vec<String>) {
        let mut passed = Vec::new();
        let changed = read_pushed(input.as_bytes(), |name| passed.push(name.to_owned())).unwrap();
        (changed, passed)
    }

    fn refs(names: &[&str]) -> Option<Changed> {
        Some(Changed::Refs(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    #[test]
    fn the_hooks_lines_are_read() {
        let input = "0000 1111 refs/heads/main\r\n\n1111 0000 refs/tags/v1";
        assert_eq!(read(input), (refs(&["refs/heads/main", "refs/tags/v1"]), Vec::new()));
        assert_eq!(read("\n"), (None, Vec::new()));
        assert!(read_pushed("nonsense\n".as_bytes(), |_| {}).is_err());
    }

    #[test]
    fn a_ref_that_is_not_ours_does_not_hide_the_others() {
        let input = "0 1 refs/pull/7/head\n0 1 refs/heads/main\n0 1 refs/notes/commits\n0 1 refs/tags/v1\n";
        let passed = vec!["refs/pull/7/head".to_owned(), "refs/notes/commits".to_owned()];
        assert_eq!(read(input), (refs(&["refs/heads/main", "refs/tags/v1"]), passed));
        assert_eq!(read("0 1 refs/notes/commits\n").0, refs(&[]), "the branch here did not change");
    }

    #[test]
    fn very_many_refs_are_one_look() {
        let lines = |count: usize| (0..count).map(|n| format!("0 1 refs/heads/b{n}\n")).collect::<String>();
        assert!(matches!(read(&lines(REFS_MAX)).0, Some(Changed::Refs(refs)) if refs.len() == REFS_MAX));
        assert_eq!(read(&lines(REFS_MAX + 1)).0, Some(Changed::Everything));
    }

    #[test]
    fn a_short_name_is_a_branch() {
        assert_eq!(full("main"), "refs/heads/main");
        assert_eq!(full("refs/tags/v1"), "refs/tags/v1");
    }
}
