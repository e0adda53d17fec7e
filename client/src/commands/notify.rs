//! `guild notify`: tells the master that refs changed. In a post-receive hook the refs come on standard input.

use crate::here::Here;
use clap::Args;
use client::Error;
use std::io::IsTerminal as _;

/// A push of more refs than this says nothing that the master would not find by itself.
const REFS_MAX: usize = 1_000;

#[derive(Args)]
pub(crate) struct Notify {
    /// The project [default: that of the repository here]
    #[arg(long)]
    project: Option<String>,
    /// The ref that changed [default: those that standard input names, "OLD NEW REF" a line, else the branch here]
    #[arg(long = "ref", value_name = "REF")]
    ref_name: Option<String>,
}

impl Notify {
    pub(crate) async fn run(self, here: &Here) -> Result<u8, Error> {
        let refs = self.refs(here)?;
        let project = match &self.project {
            // a credential that may only tell of changes cannot look at projects
            Some(project) => project.clone(),
            None => here.project(None).await?.name.clone(),
        };
        let guild = here.guild().await?;
        for ref_name in refs {
            match guild.notify(&project, &ref_name).await? {
                0 => here.note(&format!("{project}: no build is made for {ref_name}")),
                number => here.say(&format!("{project}/{number}\t{ref_name}\n"))?,
            }
        }
        Ok(0)
    }

    fn refs(&self, here: &Here) -> Result<Vec<String>, Error> {
        if let Some(ref_name) = &self.ref_name {
            return Ok(vec![full(ref_name)]);
        }
        if !std::io::stdin().is_terminal() {
            let refs = read_pushed(std::io::stdin().lock())?;
            if !refs.is_empty() {
                return Ok(refs);
            }
        }
        match here.copy().and_then(|copy| copy.branch.clone()) {
            Some(branch) => Ok(vec![full(&branch)]),
            None => Err(Error::usage("which ref changed?").help("name it with --ref BRANCH")),
        }
    }
}

fn full(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

/// The lines that git gives a post-receive hook (githooks(5)).
fn read_pushed(input: impl std::io::BufRead) -> Result<Vec<String>, Error> {
    let mut refs = Vec::new();
    for line in input.lines() {
        let line = line.map_err(|error| Error::file("standard input", error))?;
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [""] => {}
            [_old, _new, name] if name.starts_with("refs/") => refs.push((*name).to_owned()),
            _ => {
                return Err(Error::usage(format!("standard input: `{line}` is not \"OLD NEW REF\""))
                    .help("name the ref with --ref instead"));
            }
        }
        if refs.len() > REFS_MAX {
            return Err(Error::usage(format!("more than {REFS_MAX} refs at once")));
        }
    }
    Ok(refs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hooks_lines_are_read() {
        let input = "0000 1111 refs/heads/main\n\n1111 0000 refs/tags/v1\n";
        assert_eq!(read_pushed(input.as_bytes()).unwrap(), ["refs/heads/main", "refs/tags/v1"]);
        assert!(read_pushed("nonsense\n".as_bytes()).is_err());
    }

    #[test]
    fn a_short_name_is_a_branch() {
        assert_eq!(full("main"), "refs/heads/main");
        assert_eq!(full("refs/tags/v1"), "refs/tags/v1");
    }
}
