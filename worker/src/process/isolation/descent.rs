//! Finds the processes of a step and ends them. No process escapes from below a subreaper, because a process that loses its parent
//! becomes a child of the subreaper.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::{HashMap, HashSet};
use std::fs;

/// The limit for the number of passes over the processes in one round. Each pass stops the processes that it finds, so only their
/// newest children are left to the next pass.
const PASSES_MAX: usize = 20;

/// Sends `signal` to all that descend from `ancestor`.
pub(crate) fn signal_descendants(ancestor: Pid, signal: Signal) {
    for pid in descendants(ancestor) {
        let _ = kill_process(pid, signal);
    }
}

/// Sends `signal` to the process group that `leader` led, and to the processes that descend from `ancestor` in other groups. Each
/// process gets it once, because many programs give up their clean-up at a second signal.
pub(crate) fn signal_group_and_others(ancestor: Pid, leader: Pid, signal: Signal) {
    let others: Vec<Pid> = descendants(ancestor).into_iter().filter(|pid| !is_in_group(*pid, leader)).collect();
    let _ = kill_process_group(leader, signal);
    for pid in others {
        let _ = kill_process(pid, signal);
    }
}

/// Returns the names, as `ps` shows them, of the running processes that descend from `ancestor`, roughly in the order of their
/// start.
pub(crate) fn names(ancestor: Pid) -> Vec<String> {
    names_of(descendants(ancestor))
}

/// Like [`names`], but for a process group.
pub(crate) fn names_in_group(leader: Pid) -> Vec<String> {
    names_of(in_group(leader))
}

/// Returns the processes of the group that `leader` led.
pub(crate) fn in_group(leader: Pid) -> HashSet<Pid> {
    processes().filter(|pid| is_in_group(*pid, leader)).collect()
}

fn names_of(pids: HashSet<Pid>) -> Vec<String> {
    let mut pids: Vec<Pid> = pids.into_iter().collect();
    pids.sort_unstable_by_key(|pid| pid.as_raw_pid());
    pids.into_iter().filter_map(name).collect()
}

/// Returns the name of a process, which may be any bytes. `None` means that the process has ended, even if nobody has waited for it
/// yet.
fn name(pid: Pid) -> Option<String> {
    let stat = stat(pid)?;
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1;
    let is_there = !after.trim_start().starts_with(['Z', 'X']);
    is_there.then(|| name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect())
}

fn is_in_group(pid: Pid, leader: Pid) -> bool {
    Kin::of(pid).is_some_and(|kin| kin.group == leader.as_raw_pid())
}

/// Runs one round of killing the processes that descend from `ancestor`. Stops them first, so that none can fork away from the
/// kill. Returns how many it found.
pub(crate) fn kill_descendants(ancestor: Pid) -> usize {
    stop_then_kill(|| descendants(ancestor))
}

/// Kills every process whose environment holds `entry`, which is `NAME=value`. Repeats this until none is left, at most
/// [`PASSES_MAX`] times. Returns how many are left.
pub(crate) fn kill_marked(entry: &str) -> usize {
    for _ in 0..PASSES_MAX {
        if stop_then_kill(|| marked(entry)) == 0 {
            return 0;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    marked(entry).len()
}

/// Kills the processes that became children of this one because their supervisor was killed, with their descendants. Repeats this
/// until none is left, at most [`PASSES_MAX`] times, and returns how many are left. This process must be a subreaper. Spares
/// programs of ours that outlive this process, which have `spared` as their first argument.
pub(crate) fn kill_adopted(spared: &str) -> usize {
    let mut quiet = 0;
    for _ in 0..PASSES_MAX {
        let seen = stop_then_kill(|| with_descendants(adopted(spared)));
        adopted(spared).into_iter().for_each(reap);
        // Two quiet rounds are needed, because a child of a killed process may not have become a child of this process yet.
        quiet = if seen == 0 { quiet + 1 } else { 0 };
        if quiet == 2 {
            return 0;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    adopted(spared).len()
}

/// Returns our children that we did not start. We start each process in our own session, except for programs with this first argument.
/// A process of a step never comes back to our session.
fn adopted(spared: &str) -> HashSet<Pid> {
    let own = rustix::process::getpid();
    let Some(session) = Kin::of(own).map(|kin| kin.session) else { return HashSet::new() };
    let is_adopted = |pid: &Pid| Kin::of(*pid).is_some_and(|kin| kin.parent == Some(own) && kin.session != session);
    processes().filter(|pid| is_adopted(pid) && !has_first_argument(*pid, spared)).collect()
}

fn has_first_argument(pid: Pid, word: &str) -> bool {
    let line = read(pid, "cmdline").unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(word.as_bytes())
}

fn reap(pid: Pid) {
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
}

fn stop_then_kill(find: impl Fn() -> HashSet<Pid>) -> usize {
    let mut seen = HashSet::new();
    for _ in 0..PASSES_MAX {
        let fresh: Vec<Pid> = find().difference(&seen).copied().collect();
        if fresh.is_empty() {
            break;
        }
        for pid in &fresh {
            let _ = kill_process(*pid, Signal::STOP);
        }
        seen.extend(fresh);
    }
    for pid in &seen {
        let _ = kill_process(*pid, Signal::KILL);
    }
    seen.len()
}

/// Returns all processes that descend from `ancestor`, without `ancestor` itself.
pub(crate) fn descendants(ancestor: Pid) -> HashSet<Pid> {
    let mut found = with_descendants(HashSet::from([ancestor]));
    found.remove(&ancestor);
    found
}

fn with_descendants(ancestors: HashSet<Pid>) -> HashSet<Pid> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    for pid in processes() {
        if let Some(parent) = Kin::of(pid).and_then(|kin| kin.parent) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut open: Vec<Pid> = ancestors.iter().copied().collect();
    let mut found = ancestors;
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.insert(child);
            open.push(child);
        }
    }
    found
}

fn marked(entry: &str) -> HashSet<Pid> {
    let own = rustix::process::getpid();
    let holds = |pid: &Pid| {
        let environment = read(*pid, "environ").unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == entry.as_bytes())
    };
    processes().filter(|pid| *pid != own && holds(pid)).collect()
}

/// Returns the values of the variable `name` in the environments of this user's processes, as far as they can be read.
pub(crate) fn marks(name: &str) -> HashSet<String> {
    let start = format!("{name}=");
    let of = |pid: Pid| {
        let environment = read(pid, "environ").unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        let value = entries.find_map(|entry| entry.strip_prefix(start.as_bytes()))?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    processes().filter_map(of).collect()
}

/// Returns a file of a process below `/proc`. `None` means that the process no longer exists, or belongs to another user.
pub(super) fn read(pid: Pid, file: &str) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero())).ok()
}

/// Returns the number of threads of a process. `None` means that the process no longer exists.
pub(super) fn threads(pid: Pid) -> Option<u64> {
    let stat = stat(pid)?;
    // This is field 20, `num_threads`. The fields after the name begin with field 3.
    stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(17)?.parse().ok()
}

/// Returns the line of proc_pid_stat(5). If the program's name in it is not valid UTF-8, it is converted.
fn stat(pid: Pid) -> Option<String> {
    Some(String::from_utf8_lossy(&read(pid, "stat")?).into_owned())
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Pid::from_raw)
}

/// The relatives of a process.
#[derive(Debug, PartialEq, Eq)]
struct Kin {
    parent: Option<Pid>,
    group: i32,
    /// The session of the process. 0 means that its leader is outside of our process namespace, as in a container that was entered
    /// from outside.
    session: i32,
}

impl Kin {
    /// Reads the kin of a process. A process that looks like a zombie counts too, because its first thread may have ended while
    /// others run.
    fn of(pid: Pid) -> Option<Kin> {
        Kin::parse(&stat(pid)?)
    }

    /// Reads the file that proc_pid_stat(5) describes.
    fn parse(stat: &str) -> Option<Kin> {
        // The name stands in parentheses and may itself contain parentheses.
        let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(1);
        let parent = Pid::from_raw(fields.next()?.parse().ok()?);
        Some(Kin { parent, group: fields.next()?.parse().ok()?, session: fields.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let kin = Kin::parse("29 (a) S 7 (b) S 21 29 30 0 -1 4194304 207");
        assert_eq!(kin, Some(Kin { parent: Pid::from_raw(21), group: 29, session: 30 }));
    }

    #[test]
    fn a_parent_and_a_session_may_be_outside_of_the_namespace() {
        assert_eq!(Kin::parse("29 (sh) S 0 0 0 0 -1"), Some(Kin { parent: None, group: 0, session: 0 }));
    }
}
