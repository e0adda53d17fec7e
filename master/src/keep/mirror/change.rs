//! Describes an update of a ref: its commits, the paths that differ, and whether it was forced.

use schema::limits::{COMMITS, PATHS};
use schema::values::{Change, Commit, Time};

use super::Mirror;
use super::git::GitError;
use super::refs::{check_ref, is_object_id};

const COMMITS_MAX: usize = COMMITS.most;
/// The number of paths of one difference that are kept, at most. Further paths are not known.
const PATHS_MAX: usize = PATHS.most;
/// The number of bytes that git may print of a difference: about 1 KiB for each path. About 100 of these bytes are not the path
/// itself.
const DIFFERENCE_BYTES_MAX: usize = 1 << 20;
const TEXT_CHARS_MAX: usize = 300;
/// The size up to which a commit is read directly, in bytes. Larger commits are read by `git log`, which shortens their texts.
pub(super) const COMMIT_BYTES_MAX: usize = 1 << 20;
/// The fields that `git log` prints of a commit: its id, author, address, time of committing and subject, each ended by NUL. A
/// text may have megabytes, so git itself cuts it at 700 columns. That is above the 300 characters that are kept, even if each
/// is two columns wide. (`trunc` also pads with blanks.)
const FORMAT: &str = "--format=%H%x00%<(700,trunc)%an%x00%<(700,trunc)%ae%x00%ct%x00%<(700,trunc)%s%x00";
/// The number of bytes that `git log` may print for the 100 commits of an update. A column may take several bytes.
const LISTED_BYTES_MAX: usize = 4 << 20;

/// The difference between two commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The paths that differ, at most 1,000. Bytes that are not UTF-8 are replaced.
    pub paths: Vec<String>,
    /// Whether the paths are the whole difference. They are not if the list was cut, a submodule moved or a file changed its
    /// mode.
    pub is_whole: bool,
}

impl Mirror {
    /// Returns the change by which `ref_name` moved from `before` to `after`. Without `before`, the ref is new to the master.
    /// Without `after`, it was deleted.
    pub async fn change(
        &self,
        project: &str,
        ref_name: &str,
        before: Option<&str>,
        after: Option<&str>,
    ) -> Result<Change, GitError> {
        check_ref(ref_name).map_err(|why| GitError::Invalid(format!("{ref_name}: {why}")))?;
        let mut change = Change {
            project: project.to_string(),
            ref_name: ref_name.to_string(),
            revision: after.unwrap_or_default().to_string(),
            before: before.unwrap_or_default().to_string(),
            ..Change::default()
        };
        match (before, after) {
            (_, None) => {}
            (None, Some(after)) => change.commits = self.commit(after).await?.into_iter().collect(),
            (Some(before), Some(after)) if self.commit(before).await?.is_none() => {
                // the mirror was rebuilt meanwhile, and a commit that is no longer reachable is not an ancestor
                is_id(before)?;
                change.forced = true;
                change.commits = self.commit(after).await?.into_iter().collect();
            }
            (Some(before), Some(after)) => {
                let (ancestor, commits, difference) = tokio::try_join!(
                    self.is_ancestor(before, after),
                    self.commits_between(before, after),
                    self.difference(before, after),
                )?;
                change.forced = !ancestor;
                (change.commits, change.paths) = (commits, difference.paths);
            }
        }
        Ok(change)
    }

    /// Whether `ancestor` is reachable from `revision` or the same commit. It is false if either is unknown.
    pub async fn is_ancestor(&self, ancestor: &str, revision: &str) -> Result<bool, GitError> {
        is_id(ancestor)?;
        is_id(revision)?;
        let run = self.git.run("merge-base").args(["--is-ancestor", "--end-of-options", ancestor, revision]);
        let output = run.output().await?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ if self.commit(ancestor).await?.is_none() || self.commit(revision).await?.is_none() => Ok(false),
            _ => Err(output.failure()),
        }
    }

    /// Returns a commit's own facts; `None` means that it is unknown here. Git itself reads a commit that is in another
    /// encoding, or whose message is too long.
    pub async fn commit(&self, revision: &str) -> Result<Option<Commit>, GitError> {
        is_id(revision)?;
        let raw = match self.objects.contents(revision, "commit", COMMIT_BYTES_MAX).await {
            Ok(Some(raw)) => raw,
            Ok(None) => return Ok(None),
            Err(GitError::TooMuch { .. }) => return self.listed(&["--no-walk"], &[revision]).await.map(first),
            Err(error) => return Err(error),
        };
        match parse_commit(revision, &raw) {
            Some(commit) => Ok(Some(commit)),
            None => self.listed(&["--no-walk"], &[revision]).await.map(first),
        }
    }

    /// Returns the commits of `after` that `before` lacks, the newest first, at most 100.
    pub async fn commits_between(&self, before: &str, after: &str) -> Result<Vec<Commit>, GitError> {
        is_id(before)?;
        is_id(after)?;
        self.listed(&[&format!("--max-count={COMMITS_MAX}")], &[after, &format!("^{before}")]).await
    }

    /// Lists commits with `git log`, which converts every encoding to UTF-8.
    async fn listed(&self, options: &[&str], revisions: &[&str]) -> Result<Vec<Commit>, GitError> {
        let run = self.git.run("log").args(["--no-color", "--no-decorate", FORMAT]).args(options);
        let run = run.args(["--end-of-options"]).args(revisions).args(["--"]);
        let output = run.limit(LISTED_BYTES_MAX).output().await?;
        let listed = if output.cut { output.stdout } else { output.succeeded()? };
        Ok(read_commits(&listed))
    }

    /// Returns the difference between the trees of two commits, in either order.
    pub async fn difference(&self, before: &str, after: &str) -> Result<Difference, GitError> {
        is_id(before)?;
        is_id(after)?;
        let options = ["-r", "-z", "--raw", "--abbrev=4", "--no-renames", "--no-ext-diff", "--ignore-submodules=none"];
        let run = self.git.run("diff-tree").args(options).args(["--end-of-options", before, after, "--"]);
        let output = run.limit(DIFFERENCE_BYTES_MAX).output().await?;
        let was_cut = output.cut;
        let listed = if was_cut { output.stdout } else { output.succeeded()? };
        let mut difference = read_difference(&listed);
        difference.is_whole &= !was_cut;
        Ok(difference)
    }
}

/// Reads commits, each of five fields, as [`FORMAT`] prints them. A last commit that is not complete was cut and is left out.
pub(super) fn read_commits(listed: &[u8]) -> Vec<Commit> {
    let fields: Vec<_> = listed.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let commits = fields.chunks_exact(5).map(|five| Commit {
        revision: five[0].trim().to_string(),
        author: short(&format!("{} <{}>", five[1].trim_end(), five[2].trim_end())),
        time: time_of(&five[3]),
        subject: short(five[4].trim_end()),
    });
    commits.collect()
}

/// Reads pairs of `:MODE MODE ID ID STATUS` and a path, each ended by a NUL. Text after the last NUL was cut and is left out.
pub(super) fn read_difference(listed: &[u8]) -> Difference {
    let mut fields: Vec<&[u8]> = listed.split(|byte| *byte == 0).collect();
    fields.pop();
    let pairs = fields.chunks_exact(2).take(PATHS_MAX);
    let paths = pairs.clone().map(|pair| String::from_utf8_lossy(pair[1]).into_owned()).collect();
    let is_whole = fields.len() / 2 <= PATHS_MAX && pairs.clone().all(|pair| is_content(pair[0]));
    Difference { paths, is_whole }
}

/// Whether only a file's content changed, or the file was added or deleted.
fn is_content(header: &[u8]) -> bool {
    let mut modes = header.trim_ascii_start().splitn(3, |byte| *byte == b' ');
    let (Some(before), Some(after)) = (modes.next().and_then(|mode| mode.strip_prefix(b":")), modes.next()) else {
        return false;
    };
    let is_link = |mode: &[u8]| mode == SUBMODULE;
    !is_link(before) && !is_link(after) && (before == after || before == ABSENT || after == ABSENT)
}

/// The mode of an entry that is a submodule's commit.
const SUBMODULE: &[u8] = b"160000";
const ABSENT: &[u8] = b"000000";

pub(super) fn is_id(text: &str) -> Result<(), GitError> {
    if is_object_id(text) { Ok(()) } else { Err(GitError::Invalid(format!("`{text}` is not a complete commit id"))) }
}

fn first(commits: Vec<Commit>) -> Option<Commit> {
    commits.into_iter().next()
}

/// Reads the bytes of a commit; `None` means that it is not in UTF-8.
pub(super) fn parse_commit(revision: &str, raw: &[u8]) -> Option<Commit> {
    let text = std::str::from_utf8(raw).ok()?;
    let (head, message) = text.split_once("\n\n").unwrap_or((text, ""));
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let encoding = field("encoding ");
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("UTF-8") {
        return None;
    }
    // "Name <mail> seconds zone"
    let mail_end = |line: &str| line.rfind('>').map_or(0, |at| at + 1);
    let (author, committer) = (field("author "), field("committer "));
    let seconds = committer[mail_end(committer)..].trim_start().split(' ').next().unwrap_or_default();
    Some(Commit {
        revision: revision.to_string(),
        author: short(&author[..mail_end(author)]),
        time: time_of(seconds),
        subject: short(&subject_of(message)),
    })
}

/// Returns the first paragraph of a message as one line, as git does.
fn subject_of(message: &str) -> String {
    let lines = message.lines().map(str::trim_end).skip_while(|line| line.is_empty());
    let paragraph: Vec<&str> = lines.take_while(|line| !line.is_empty()).map(str::trim_start).collect();
    paragraph.join(" ")
}

pub(super) fn time_of(seconds: &str) -> Time {
    Time(seconds.parse::<u64>().unwrap_or(0).saturating_mul(1000))
}

/// Returns the start of a text, with an ellipsis if the text is longer.
pub(super) fn short(text: &str) -> String {
    let mut chars = text.chars().filter(|c| !c.is_control());
    let start: String = chars.by_ref().take(TEXT_CHARS_MAX).collect();
    match chars.next() {
        Some(_) => start.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect(),
        None => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_where_it_is_not_the_whole() {
        let line = |modes: &str, path: &str| format!(":{modes} aaaa bbbb M\0{path}\0");
        let read = |text: String| {
            let it = read_difference(text.as_bytes());
            (it.paths.join(" "), it.is_whole)
        };
        let plain = line("100644 100644", "a") + &line("000000 100755", "b") + &line("120000 000000", "c");
        assert_eq!(read(plain.clone()), ("a b c".to_owned(), true));
        assert_eq!(read(plain.clone() + &line("100644 100755", "d")), ("a b c d".to_owned(), false));
        assert_eq!(read(plain.clone() + &line("160000 160000", "lib")), ("a b c lib".to_owned(), false));
        assert_eq!(read(plain.clone() + &line("000000 160000", "lib")), ("a b c lib".to_owned(), false));
        assert_eq!(read(plain + ":100644 100644 aa"), ("a b c".to_owned(), true), "its caller knows that it was cut");
        let many: String = (0..=PATHS_MAX).map(|at| line("100644 100644", &at.to_string())).collect();
        let it = read_difference(many.as_bytes());
        assert_eq!((it.paths.len(), it.is_whole), (PATHS_MAX, false));
        assert_eq!(read(String::new()), (String::new(), true));
    }

    #[test]
    fn a_text_that_was_cut_says_so() {
        assert_eq!(short(&"ü".repeat(TEXT_CHARS_MAX)), "ü".repeat(TEXT_CHARS_MAX));
        assert_eq!(short(&"ü".repeat(TEXT_CHARS_MAX + 1)), "ü".repeat(TEXT_CHARS_MAX - 1) + "…");
        assert_eq!(short(&("\u{1b}".repeat(TEXT_CHARS_MAX + 1) + "a")), "a");
    }

    #[test]
    fn a_commit_may_say_anything() {
        let raw =
            b"tree x\nauthor A <a@b> 1 +0000\ncommitter C <c@d> 12 +0000\n\n\n sub\x1b[1mject\nin two lines\n\nmore";
        let commit = parse_commit("r", raw).unwrap();
        assert_eq!(commit.author, "A <a@b>");
        assert_eq!(commit.time, Time(12_000));
        assert_eq!(commit.subject, "sub[1mject in two lines");
        assert_eq!(parse_commit("r", b"").unwrap().time, Time(0));
        assert_eq!(time_of("99999999999999999999"), Time(0));
        // git itself can read these commits
        assert_eq!(parse_commit("r", b"author \xff A <a@b> 1 +0000\n\nx"), None);
        assert_eq!(parse_commit("r", b"author A <a@b> 1 +0000\nencoding ISO-8859-1\n\nx"), None);
        assert!(parse_commit("r", b"author A <a@b> 1 +0000\nencoding utf-8\n\nx").is_some());
    }
}
