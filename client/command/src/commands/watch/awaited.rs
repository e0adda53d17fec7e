//! A build that does not exist yet, for a commit or a branch that git knows here and that the master has not built.

use crate::connected::Connected;
use crate::git;
use crate::resolve::{GitWord, named_ref};
use client::views::BuildView;
use client::{BuildQuery, Error, Guild};
use schema::values::ShortCommit;

/// The build that the command waits for: the first one that has everything in these fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    pub(super) project: String,
    /// The full name of the build's ref. An empty text means any ref.
    ref_name: String,
    /// The full id of the build's commit. An empty text means any commit.
    revision: String,
    /// The word that the user typed.
    word: String,
}

impl Awaited {
    /// Finds out what a typed word names. `None` means that git does not know that name, or that the directory belongs to no project.
    pub(super) async fn of(connected: &Connected, typed: Option<&str>) -> Result<Option<Awaited>, Error> {
        let (Some(word), Some(copy)) = (typed, connected.copy()) else { return Ok(None) };
        let Some(view) = connected.project_here().await? else { return Ok(None) };
        let word = word.strip_prefix(&format!("{}/", view.name)).unwrap_or(word);
        let (ref_name, revision) = match git::word(&copy.toplevel, word) {
            Some(GitWord::Commit(id)) => (String::new(), id),
            // HEAD means the commit that is checked out, because that is the commit that was just pushed.
            Some(GitWord::Ref(_)) if is_head(word) => (String::new(), copy.head.clone().unwrap_or_default()),
            Some(GitWord::Ref(name)) => (name, String::new()),
            None => return Ok(None),
        };
        let branch = if is_head(word) { connected.branch(Some(view)) } else { None };
        let ref_name = branch.unwrap_or(ref_name);
        Ok(Some(Awaited { project: view.name.clone(), ref_name, revision, word: word.to_owned() }))
    }

    pub(super) fn is(&self, build: &BuildView) -> bool {
        build.project == self.project
            && (self.ref_name.is_empty() || build.ref_name == self.ref_name)
            && (self.revision.is_empty() || build.revision == self.revision)
    }

    /// Returns the number of the build, if it exists.
    pub(super) async fn number(&self, guild: &Guild) -> Result<Option<u32>, Error> {
        let query = BuildQuery {
            project: self.project.clone(),
            ref_name: self.ref_name.clone(),
            revision: self.revision.clone(),
            limit: 1,
            ..BuildQuery::default()
        };
        Ok(guild.builds(&query).await?.first().map(|build| build.number))
    }

    /// Prints which build the command waits for, and when it can begin at the earliest.
    pub(super) async fn say(&self, connected: &Connected) -> Result<(), Error> {
        let what = match self.revision.as_str() {
            "" => format!("the {}", named_ref(&self.ref_name)),
            id => format!("{} ({})", self.word, ShortCommit::of(id)),
        };
        let look = connected.next_look(&self.project).await?;
        let look = look.map_or_else(String::new, |look| format!("; {look}"));
        connected.printer.note(format!("{what} has no build yet; waiting for it{look}"));
        Ok(())
    }
}

fn is_head(word: &str) -> bool {
    matches!(word, "HEAD" | "@")
}
