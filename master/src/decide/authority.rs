//! The authority that a grant gives, and whether one authority lies within another. This one rule decides which grants may be issued,
//! how browsers log in, and which operators reach things that belong to no project.
//!
//! Builds belong to projects. Workers, pools, labels, the master file, and the addresses that the master opens do not. An operator on
//! all projects whose grant names neither pools nor labels has them all. Any other operator has the pools and labels that its grant
//! names, and no others.

use crate::decide::records::{DEFAULT_POOL, GrantRow};
use schema::limits::borders::ISSUED;
use schema::limits::{LABEL, LABELS, Limit, POOL, POOLS, PROJECT, PROJECTS, grouped};
use schema::values::{GrantKind, Refusal, RefusalCode, Right, Scope, Time, What};
use std::collections::BTreeSet;
use std::fmt;

/// The most grants in force below one operator. Grants below its own operators count, and logins of browsers do not. Each grant takes
/// about 1 KiB of the master's memory. A farm of 1,000 workers and as many people stays far below the limit.
pub const ISSUED_MAX: usize = ISSUED.count();

/// Either all things of a kind, or only the named ones.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach<T> {
    All,
    Named(BTreeSet<T>),
}

/// An `Authority` is what the holder of a grant can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    kind: GrantKind,
    rights: BTreeSet<Right>,
    projects: Reach<String>,
    pools: Reach<String>,
    labels: Reach<(String, String)>,
    /// When the authority ends. `None` means never.
    expires: Option<Time>,
    /// The number of grants that may be in force below this one.
    grants: usize,
}

/// The first thing that a child grant would have and its parent does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excess {
    Kind(GrantKind),
    Right(Right),
    Project(String),
    Pool(String),
    Label(String, String),
    Expiry,
    Grants,
}

impl<T: Ord + Clone> Reach<T> {
    fn none() -> Reach<T> {
        Reach::Named(BTreeSet::new())
    }

    /// The first name in `other` that is not in `self`. `all` makes the name that stands for everything.
    fn lacks(&self, other: &Reach<T>, all: impl FnOnce() -> T) -> Option<T> {
        match (self, other) {
            (Reach::All, _) => None,
            (Reach::Named(_), Reach::All) => Some(all()),
            (Reach::Named(own), Reach::Named(other)) => other.difference(own).next().cloned(),
        }
    }
}

impl Authority {
    /// Returns the authority of a grant of this kind. A worker's grant has only pools and labels. Another grant has its rights and
    /// projects, and has pools and labels only with the right to operate.
    pub fn of(kind: GrantKind, what: &What, expires: Option<Time>) -> Authority {
        if kind == GrantKind::Unknown {
            return Authority::none(expires);
        }
        let may = if kind == GrantKind::Worker { BTreeSet::new() } else { what.may.clone() };
        let operates = may.contains(&Right::Operate);
        let (pools, labels) = if kind == GrantKind::Worker {
            (pools_of_worker(what), named(&what.labels))
        } else if !operates {
            (Reach::none(), Reach::none())
        } else if has_all_workers(what) {
            (Reach::All, Reach::All)
        } else {
            (reach(&what.pools), named(&what.labels))
        };
        let projects = if kind == GrantKind::Worker { Reach::none() } else { reach(&what.projects) };
        let grants = if operates { ISSUED_MAX } else { 0 };
        Authority { kind, rights: may, projects, pools, labels, expires, grants }
    }

    /// The authority of a grant whose kind only a newer version knows.
    fn none(expires: Option<Time>) -> Authority {
        let (rights, projects) = (BTreeSet::new(), Reach::none());
        Authority {
            kind: GrantKind::Unknown,
            rights,
            projects,
            pools: Reach::none(),
            labels: Reach::none(),
            expires,
            grants: 0,
        }
    }

    pub fn of_row(row: &GrantRow) -> Authority {
        Authority::of(row.kind, &row.what, row.expires)
    }

    /// The authority that is needed for things that belong to no project.
    fn whole(kind: GrantKind) -> Authority {
        let what = What { may: BTreeSet::from([Right::Operate]), ..What::everything() };
        Authority { expires: Some(Time(0)), ..Authority::of(kind, &what, None) }
    }

    /// Checks that `child` lies within `self`. The error is the first thing that `child` has and `self` does not have.
    pub fn holds(&self, child: &Authority) -> Result<(), Excess> {
        let has_kind = match (self.kind, child.kind) {
            (GrantKind::Unknown, _) | (_, GrantKind::Unknown) => false,
            (GrantKind::Operator, _) | (GrantKind::Worker, GrantKind::Worker) => true,
            (GrantKind::Worker, _) | (_, GrantKind::Operator) => false,
            (GrantKind::User | GrantKind::Changes | GrantKind::Events, _) => true,
        };
        let all = || "*".to_owned();
        let excess = (!has_kind).then_some(Excess::Kind(child.kind));
        let excess = excess
            .or_else(|| child.rights.difference(&self.rights).next().copied().map(Excess::Right))
            .or_else(|| self.projects.lacks(&child.projects, all).map(Excess::Project))
            .or_else(|| self.pools.lacks(&child.pools, all).map(Excess::Pool))
            .or_else(|| {
                let lacked = self.labels.lacks(&child.labels, || (all(), all()));
                lacked.map(|(name, value)| Excess::Label(name, value))
            })
            .or_else(|| ends_later(self.expires, child.expires).then_some(Excess::Expiry))
            .or_else(|| (child.grants > self.grants).then_some(Excess::Grants));
        excess.map_or(Ok(()), Err)
    }

    /// Whether the holder can act on things that belong to no project: the master file, new projects, every worker.
    pub fn is_whole(&self) -> bool {
        self.holds(&Authority::whole(self.kind)).is_ok()
    }
}

/// Checks a grant that is to be issued below `parent`, which is in force. Refuses it if it gives more than `parent` gives. Returns its
/// expiry, which is at the latest the expiry of `parent`.
pub fn child_of(
    parent: &GrantRow,
    kind: GrantKind,
    what: &What,
    expires: Option<Time>,
) -> Result<Option<Time>, Refusal> {
    sound(what)?;
    let expires = earliest(expires, parent.expires);
    let child = Authority::of(kind, what, expires);
    Authority::of_row(parent).holds(&child).map_err(|excess| excess.refusal(&parent.name, kind))?;
    Ok(expires)
}

/// Checks that this holder may do something that belongs to no project. `deed` names that thing in the refusal, such as "adding a
/// project".
pub fn may_do_all(kind: GrantKind, what: &What, name: &str, deed: &str) -> Result<(), Refusal> {
    if Authority::of(kind, what, None).is_whole() {
        return Ok(());
    }
    let text = format!("{deed} needs the right `operate` on all projects, and {name} has less");
    Err(Refusal::new(RefusalCode::NotPermitted, text).help("ask an operator of all projects (`*`) to do it"))
}

/// Checks that this holder may hold, drain and forget a worker, which means that it could have issued the worker's grant. `None` means
/// that this grant is no longer stored.
pub fn may_steer(holder: &GrantRow, worker: &str, grant: Option<&GrantRow>) -> Result<(), Refusal> {
    let authority = Authority::of_row(holder);
    let Some(grant) = grant else {
        return may_do_all(holder.kind, &holder.what, &holder.name, &format!("changing worker {worker}"));
    };
    let of_worker = Authority { expires: Some(Time(0)), ..Authority::of_row(grant) };
    authority.holds(&of_worker).map_err(|excess| {
        let text = format!(
            "worker {worker} belongs to no project: it needs the right `operate` on all projects, or on its pools and \
             labels, and {} does not have {excess}",
            holder.name
        );
        let help = "ask an operator of all projects (`*`), or for a grant that names them: --pool, --label";
        Refusal::new(RefusalCode::NotPermitted, text).help(help)
    })
}

impl Excess {
    fn refusal(&self, name: &str, kind: GrantKind) -> Refusal {
        let text = format!("a grant gives at most what its issuer has, and {name} does not have {self}");
        let help = if kind == GrantKind::Worker {
            "workers belong to no project: their pools and labels must be in the issuer's own grant (--pool, --label), or the \
             issuer operates on all projects (`*`)"
        } else {
            "`guild whoami` shows what your own grant has"
        };
        Refusal::new(RefusalCode::NotPermitted, text).help(help)
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Excess::Kind(kind) => write!(f, "the authority of kind `{kind}`"),
            Excess::Right(right) => write!(f, "the right `{right}`"),
            Excess::Project(project) if project == "*" => write!(f, "all projects"),
            Excess::Project(project) => write!(f, "the project `{project}`"),
            Excess::Pool(pool) if pool == "*" => write!(f, "all pools"),
            Excess::Pool(pool) => write!(f, "the pool `{pool}`"),
            Excess::Label(name, _) if name == "*" => write!(f, "all labels"),
            Excess::Label(name, value) => write!(f, "the label `{name}={value}`"),
            Excess::Expiry => write!(f, "a time that ends so late"),
            Excess::Grants => write!(f, "the right to issue grants"),
        }
    }
}

/// Refuses a grant that would be too long to be listed, by the limits for grants on the wire. Grants of the master file and of the
/// master's own commands do not come over the wire, so these limits are checked here.
fn sound(what: &What) -> Result<(), Refusal> {
    are_named("projects", what.projects.iter(), &PROJECTS, &PROJECT)?;
    are_named("pools", what.pools.iter(), &POOLS, &POOL)?;
    are_named("labels", what.labels.iter().map(|(name, _)| name), &LABELS, &LABEL)?;
    if what.labels.iter().any(|(_, value)| value.len() > LABEL.most) {
        return Err(invalid(format!("values of labels have at most {} bytes", grouped(LABEL.most))));
    }
    Ok(())
}

/// Checks how many names a grant has, and how long they are. `them` is the word for the names, such as "projects".
fn are_named<'a>(
    them: &str,
    mut names: impl ExactSizeIterator<Item = &'a String>,
    count: &Limit,
    each: &Limit,
) -> Result<(), Refusal> {
    if names.len() > count.most {
        return Err(invalid(format!("a grant names at most {} {them}", grouped(count.most))));
    }
    if names.any(|name| name.is_empty() || name.len() > each.most) {
        return Err(invalid(format!("names of {them} have 1 to {} bytes", grouped(each.most))));
    }
    Ok(())
}

fn invalid(text: String) -> Refusal {
    Refusal::new(RefusalCode::Invalid, text)
}

fn has_all_workers(what: &What) -> bool {
    let has_all_pools = what.pools.is_empty() || what.pools.is_all();
    what.projects.is_all() && has_all_pools && what.labels.is_empty()
}

/// The pools of a worker's grant. A worker whose grant names no pool is in the default pool.
fn pools_of_worker(what: &What) -> Reach<String> {
    if what.pools.is_empty() { Reach::Named(BTreeSet::from([DEFAULT_POOL.to_owned()])) } else { reach(&what.pools) }
}

fn reach(scope: &Scope) -> Reach<String> {
    scope.named().map_or(Reach::All, |names| Reach::Named(names.clone()))
}

fn named(labels: &[(String, String)]) -> Reach<(String, String)> {
    Reach::Named(labels.iter().cloned().collect())
}

fn ends_later(parent: Option<Time>, child: Option<Time>) -> bool {
    match (parent, child) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(parent), Some(child)) => child > parent,
    }
}

fn earliest(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter::repeat_n;

    fn names(count: usize, bytes: usize) -> Scope {
        (0..count).map(|index| format!("{index:0bytes$}")).collect()
    }

    fn labels(count: usize, name: usize, value: usize) -> Vec<(String, String)> {
        repeat_n(("n".repeat(name), "v".repeat(value)), count).collect()
    }

    #[test]
    fn a_grant_names_as_much_as_its_rows_allow() {
        let (projects, pools) = (names(PROJECTS.most, PROJECT.most), names(POOLS.most, POOL.most));
        let full = What { projects, pools, labels: labels(LABELS.most, LABEL.most, LABEL.most), ..What::default() };
        assert_eq!(sound(&full), Ok(()));
        let cases = [
            (What { projects: names(PROJECTS.most + 1, 9), ..full.clone() }, "a grant names at most 1,000 projects"),
            (What { pools: names(POOLS.most + 1, 9), ..full.clone() }, "a grant names at most 1,000 pools"),
            (What { labels: labels(LABELS.most + 1, 1, 1), ..full.clone() }, "a grant names at most 100 labels"),
            (What { projects: names(1, PROJECT.most + 1), ..full.clone() }, "names of projects have 1 to 100 bytes"),
            (What { pools: names(1, POOL.most + 1), ..full.clone() }, "names of pools have 1 to 100 bytes"),
            (What { labels: labels(1, 0, 1), ..full.clone() }, "names of labels have 1 to 256 bytes"),
            (What { labels: labels(1, LABEL.most + 1, 1), ..full.clone() }, "names of labels have 1 to 256 bytes"),
            (What { labels: labels(1, 1, LABEL.most + 1), ..full }, "values of labels have at most 256 bytes"),
        ];
        for (what, text) in cases {
            let refusal = sound(&what).unwrap_err();
            assert_eq!((refusal.code, refusal.text.as_str()), (RefusalCode::Invalid, text));
        }
    }
}
