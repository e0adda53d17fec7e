//! No grant allows more than the grants above it. Random trees are checked against a second definition, in which a grant allows a
//! set of deeds.

use master::decide::coordinator::authority::{ISSUED_MAX, child_of};
use master::decide::coordinator::record::{GrantId, GrantRow, Loaded, RequestId};
use master::decide::coordinator::{Coordinator, GrantOrder, ROOT, Request, Terms};
use schema::values::{GrantKind, Refusal, RefusalCode, Right, Scope, Time, What};
use std::collections::BTreeSet;
use std::time::Duration;
use support::seed::Random;

const TREES: u64 = 100_000;
/// The number of trees that are issued by a whole coordinator, which takes longer.
const ISSUED_TREES: u64 = 3_000;
const NOW: Time = Time(1_000_000);
/// The names of projects that grants have. Deeds are also about projects, pools and labels that no grant names.
const PROJECTS: [&str; 3] = ["alpha", "beta", "*"];
const POOLS: [&str; 4] = ["default", "pa", "pb", "*"];
const LABELS: [(&str, &str); 3] = [("gpu", "yes"), ("gpu", "*"), ("site", "lab")];

/// Returns what a grant lets its holder do, as one bit for each deed. The deeds are about the names above.
fn deeds(row: &GrantRow) -> u64 {
    let worker = row.kind == GrantKind::Worker;
    let may = |right: &Right| !worker && row.what.may.contains(right);
    let names = |set: &BTreeSet<String>, name: &str| set.iter().any(|known| known == name || known == "*");
    let in_project = |project: &str| !worker && names(&row.what.projects, project);
    let runs_all = may(&Right::Operate)
        && in_project("a project that comes later")
        && row.what.labels.is_empty()
        && (row.what.pools.is_empty() || names(&row.what.pools, "a pool that comes later"));
    let in_pool = |pool: &str| match (worker, row.what.pools.is_empty()) {
        (true, true) => pool == "default",
        (true, false) => names(&row.what.pools, pool),
        (false, _) => runs_all || may(&Right::Operate) && names(&row.what.pools, pool),
    };
    let has_label = |label: (&str, &str)| {
        let named = row.what.labels.iter().any(|(name, value)| (name.as_str(), value.as_str()) == label);
        runs_all || named && (worker || may(&Right::Operate))
    };
    let lives = |time: u64| row.expires.is_none_or(|expires| expires > Time(NOW.0 + time * 1_000));
    let mut all = vec![row.kind == GrantKind::Operator, !worker];
    all.extend(Right::ALL.iter().map(may));
    all.extend(["alpha", "beta", "later"].map(in_project));
    all.extend(["default", "pa", "pb", "later"].map(in_pool));
    all.extend([("gpu", "yes"), ("gpu", "*"), ("site", "lab"), ("later", "x")].map(has_label));
    all.extend([1, 2, 3, 1 << 40].map(lives));
    all.iter().fold(0, |bits, deed| bits << 1 | u64::from(*deed))
}

/// Returns the deeds without those about time, because the expiry of a child may be set earlier than the order asks for.
fn without_time(deeds: u64) -> u64 {
    deeds >> 4
}

fn some(random: &mut Random, own: &BTreeSet<String>, names: &[&str]) -> Scope {
    let mut kept: BTreeSet<String> = own.iter().filter(|_| random.chance(70)).cloned().collect();
    if random.chance(25) {
        kept.extend(random.pick(names).map(|name| (*name).to_owned()));
    }
    kept.into_iter().collect()
}

/// Returns random rights for an order: mostly rights of the parent, and sometimes more.
fn asked(random: &mut Random, parent: &What) -> What {
    let mut may: BTreeSet<Right> = parent.may.iter().filter(|_| random.chance(80)).copied().collect();
    if random.chance(10) {
        may.extend(random.pick(&Right::ALL));
    }
    let mut labels: Vec<_> = parent.labels.iter().filter(|_| random.chance(70)).cloned().collect();
    if random.chance(20) {
        labels.extend(random.pick(&LABELS).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }
    let (projects, pools) = (some(random, &parent.projects, &PROJECTS), some(random, &parent.pools, &POOLS));
    What { may, projects, pools, labels }
}

fn kind(random: &mut Random) -> GrantKind {
    if random.chance(50) { GrantKind::Operator } else { GrantKind::ALL[random.below(GrantKind::ALL.len())] }
}

fn expiry(random: &mut Random) -> Option<Time> {
    random.chance(30).then(|| Time(NOW.0 + 1 + random.below(4_000) as u64))
}

fn root() -> GrantRow {
    GrantRow::new(ROOT, None, GrantKind::Operator, "root".to_owned(), What::everything(), NOW)
}

#[test]
fn no_grant_has_more_than_one_above_it() {
    let mut random = Random::new(17);
    let (mut taken, mut refused) = (0_u32, 0_u32);
    for tree in 0..TREES {
        let mut rows = vec![root()];
        for _ in 0..5 {
            let parent = rows[random.below(rows.len())].clone();
            let (kind, what) = (kind(&mut random), asked(&mut random, &parent.what));
            let wanted = expiry(&mut random);
            let id = GrantId(rows.len() as u64 + 1);
            let row = GrantRow::new(id, Some(parent.id), kind, "child".to_owned(), what.clone(), NOW);
            let fits = without_time(deeds(&row) & !deeds(&parent)) == 0;
            let Ok(expires) = child_of(&parent, kind, &what, wanted) else {
                assert!(!fits, "tree {tree}: refused below {parent:?}: {row:?}");
                refused += 1;
                continue;
            };
            assert!(fits, "tree {tree}: taken below {parent:?}: {row:?}");
            assert!(expires == wanted || expires == parent.expires, "tree {tree}: {expires:?}");
            rows.push(GrantRow { expires, ..row });
            taken += 1;
        }
        for row in &rows {
            let mut above = row.parent;
            while let Some(id) = above {
                let ancestor = &rows[id.0 as usize - 1];
                assert_eq!(deeds(row) & !deeds(ancestor), 0, "tree {tree}: {row:?} has more than {ancestor:?}");
                above = ancestor.parent;
            }
        }
    }
    println!("{TREES} trees: {taken} grants were issued, {refused} refused");
    assert!(taken > 100_000 && refused > 50_000, "the trees are of some depth: {taken}, {refused}");
}

struct Desk {
    it: Coordinator,
    drawn: u64,
}

impl Desk {
    fn new() -> Desk {
        let mut it = Coordinator::load(NOW, Terms::default(), Default::default(), [1; 32]);
        it.found(NOW);
        Desk { it, drawn: 0 }
    }

    fn draw<const N: usize>(&mut self) -> [u8; N] {
        self.drawn += 1;
        let mut bytes = [0; N];
        bytes[..8].copy_from_slice(&self.drawn.to_le_bytes());
        bytes
    }

    fn request(&mut self, by: GrantId) -> Request {
        Request { id: RequestId(self.draw()), by, body: self.draw() }
    }

    fn issue(&mut self, by: GrantId, kind: GrantKind, what: What) -> Result<GrantId, Refusal> {
        self.issue_for(by, kind, what, None)
    }

    fn issue_for(
        &mut self,
        by: GrantId,
        kind: GrantKind,
        what: What,
        lifetime: Option<Duration>,
    ) -> Result<GrantId, Refusal> {
        let (request, join_hash) = (self.request(by), self.draw());
        let order = GrantOrder { kind, name: format!("g{}", self.drawn), what, lifetime, join_hash };
        let issued = self.it.issue(NOW, request, order);
        while self.it.poll_effect().is_some() {}
        issued
    }
}

fn view() -> What {
    What { may: [Right::View].into(), projects: ["alpha".to_owned()].into(), ..What::default() }
}

/// Random trees again, issued by the coordinator. It issues exactly the grants that the rule allows, and none has more than any
/// grant above it.
#[test]
fn no_grant_that_is_issued_has_more_than_one_above_it() {
    let mut random = Random::new(19);
    let (mut taken, mut refused) = (0_u32, 0_u32);
    for tree in 0..ISSUED_TREES {
        let mut desk = Desk::new();
        let mut known = vec![ROOT];
        for _ in 0..5 {
            let parent = desk.it.grants().get(known[random.below(known.len())]).unwrap().clone();
            let (kind, what) = (kind(&mut random), asked(&mut random, &parent.what));
            let lifetime = expiry(&mut random).map(|expires| expires.since(NOW));
            let wanted = GrantRow::new(GrantId(0), Some(parent.id), kind, "child".to_owned(), what.clone(), NOW);
            let fits = without_time(deeds(&wanted) & !deeds(&parent)) == 0;
            // without the right to operate, nobody issues a grant, not even one that allows nothing
            let may = fits && parent.what.may.contains(&Right::Operate);
            match desk.issue_for(parent.id, kind, what, lifetime) {
                Ok(id) => {
                    assert!(may, "tree {tree}: issued below {parent:?}: {wanted:?}");
                    known.push(id);
                    taken += 1;
                }
                Err(refusal) => {
                    assert!(!may, "tree {tree}: {refusal:?} below {parent:?}: {wanted:?}");
                    refused += 1;
                }
            }
        }
        for id in known {
            let row = desk.it.grants().get(id).unwrap();
            let mut above = row.parent;
            while let Some(id) = above {
                let ancestor = desk.it.grants().get(id).unwrap();
                assert_eq!(deeds(row) & !deeds(ancestor), 0, "tree {tree}: {row:?} has more than {ancestor:?}");
                above = ancestor.parent;
            }
        }
    }
    assert!(taken > 2_000 && refused > 1_000, "the trees are of some depth: {taken}, {refused}");
}

/// The same rule holds for all commands that make grants, in one deep tree.
#[test]
fn issue_and_browse_go_by_the_same_rule() {
    let mut random = Random::new(18);
    let mut desk = Desk::new();
    let mut known = vec![ROOT];
    for _ in 0..3_000 {
        let by = known[random.below(known.len())];
        let parent = desk.it.grants().get(by).unwrap().clone();
        let join = desk.draw();
        let made = match random.chance(20) {
            true => desk.it.browse(NOW, by, join),
            false => {
                let kind = kind(&mut random);
                let what = asked(&mut random, &parent.what);
                desk.issue(by, kind, what)
            }
        };
        let Ok(id) = made else { continue };
        let row = desk.it.grants().get(id).unwrap();
        assert_eq!(without_time(deeds(row) & !deeds(&parent)), 0, "{row:?} below {parent:?}");
        if !row.is_browser {
            known.push(id);
        }
    }
    assert!(known.len() > 300, "{}", known.len());
}

#[test]
fn an_operator_issues_so_many_and_its_own_operators_none_besides() {
    let mut desk = Desk::new();
    let chief = desk.issue(ROOT, GrantKind::Operator, What::everything()).unwrap();
    let deputy = desk.issue(chief, GrantKind::Operator, What::everything()).unwrap();
    let mut last = deputy;
    for number in 0..ISSUED_MAX - 1 {
        last = desk.issue(if number % 2 == 0 { chief } else { deputy }, GrantKind::User, view()).unwrap();
    }
    for by in [chief, deputy] {
        let refused = desk.issue(by, GrantKind::User, view()).unwrap_err();
        assert_eq!(refused.code, RefusalCode::Unavailable);
        assert!(refused.text.contains("10000 grants") && refused.help.contains("guild grant revoke"), "{refused:?}");
    }
    // a grant that ends makes room for another, and logins of browsers do not count
    desk.it.browse(NOW, chief, [9; 32]).unwrap();
    let request = desk.request(chief);
    desk.it.revoke(NOW, request, last, "over").unwrap();
    desk.issue(deputy, GrantKind::User, view()).unwrap();
    desk.issue(deputy, GrantKind::User, view()).unwrap_err();
    // every grant must be on exactly one page
    let (mut seen, mut after) = (0, GrantId(0));
    loop {
        let page = desk.it.grants().page(NOW, chief, after, 0, false);
        assert!(page.grants.len() <= 1_000 && page.grants.iter().all(|row| row.id > after));
        seen += page.grants.len();
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!(seen, ISSUED_MAX + 2, "itself, those below it, and a login");
    // grants that ended are kept, but not for ever
    let request = desk.request(chief);
    desk.it.revoke(NOW, request, deputy, "over").unwrap();
    let deputy = desk.issue(chief, GrantKind::Operator, What::everything()).unwrap();
    for _ in 0..4_999 {
        desk.issue(deputy, GrantKind::User, view()).unwrap();
    }
    let request = desk.request(chief);
    desk.it.revoke(NOW, request, deputy, "over").unwrap();
    let in_force = desk.it.grants().below(chief).filter(|row| row.revoked.is_none()).count();
    assert_eq!(desk.it.grants().below(chief).count() - in_force, 10_000);
}

/// Ten thousand grants that end at one moment delay nobody for long.
#[test]
fn ten_thousand_grants_end_at_once() {
    let mut desk = Desk::new();
    let chief = desk.issue(ROOT, GrantKind::Operator, What::everything()).unwrap();
    for _ in 0..ISSUED_MAX {
        let (request, join_hash) = (desk.request(chief), desk.draw());
        let lifetime = Some(Duration::from_secs(60));
        let order = GrantOrder { kind: GrantKind::User, name: "u".to_owned(), what: view(), lifetime, join_hash };
        desk.it.issue(NOW, request, order).unwrap();
    }
    let began = std::time::Instant::now();
    desk.it.handle_timeout(NOW.after(Duration::from_secs(60)));
    println!("{ISSUED_MAX} grants ended in {:?}", began.elapsed());
    assert_eq!(desk.it.grants().below(chief).filter(|row| row.revoked.is_none()).count(), 1);
    desk.issue(chief, GrantKind::User, view()).unwrap();
}

#[test]
fn a_line_of_grants_has_an_end() {
    let mut desk = Desk::new();
    let mut by = ROOT;
    // the last of these grants has 16 grants above it, the root included
    for _ in 0..16 {
        by = desk.issue(by, GrantKind::Operator, What::everything()).unwrap();
    }
    let refused = desk.issue(by, GrantKind::User, view()).unwrap_err();
    assert!(refused.text.contains("16 grants above it"), "{refused:?}");
}

#[test]
fn logins_of_browsers_are_few_and_go_when_they_end() {
    let mut desk = Desk::new();
    let ada = desk.issue(ROOT, GrantKind::User, view()).unwrap();
    let logins = |it: &Coordinator| it.grants().below(ada).filter(|row| row.is_browser).count();
    let first = desk.it.browse(NOW, ada, [1; 32]).unwrap();
    assert_eq!(desk.it.browse(NOW, ada, [1; 32]).unwrap(), first, "it may be repeated");
    let key = schema::sturdy_ref::Fingerprint([3; 32]);
    desk.it.redeem_browser(NOW, [1; 32], [2; 32], key).unwrap();
    assert!(desk.it.redeem_browser(NOW, [1; 32], [2; 32], key).is_err(), "once, by the same browser too");
    for number in 10..60 {
        desk.it.browse(NOW, ada, [number; 32]).unwrap();
    }
    assert_eq!(logins(&desk.it), 10);
    assert!(desk.it.grants().get(first).is_some(), "addresses that nobody used go before a login");
    let late = NOW.after(Duration::from_secs(600));
    desk.it.handle_timeout(late);
    assert_eq!((logins(&desk.it), desk.it.grants().get(first).is_some()), (1, true));
    assert!(desk.it.redeem_browser(late, [59; 32], [4; 32], key).is_err());
    // the eleventh browser takes the place of the first one
    for number in 100..110 {
        desk.it.browse(late, ada, [number; 32]).unwrap();
        desk.it.redeem_browser(late, [number; 32], [number; 32], key).unwrap();
    }
    assert_eq!((logins(&desk.it), desk.it.grants().get(first).is_some()), (10, false));
    desk.it.handle_timeout(late.after(Duration::from_secs(30 * 24 * 3600)));
    assert_eq!(logins(&desk.it), 0);
}

/// A grant that is larger than a message is shown in part. An old master, which had no bounds, may have stored one.
#[test]
fn a_grant_that_is_too_large_is_shown_in_part() {
    let long = "x".repeat(30_000);
    let labels = (0..60).map(|number| (format!("{number}{long}"), long.clone())).collect();
    let what = What { labels, ..What::default() };
    let large = GrantRow::new(GrantId(2), Some(ROOT), GrantKind::Worker, "large".to_owned(), what, NOW);
    let small = GrantRow::new(GrantId(3), Some(ROOT), GrantKind::User, "small".to_owned(), view(), NOW);
    let loaded = Loaded { grants: vec![root(), large, small], ..Loaded::default() };
    let it = Coordinator::load(NOW, Terms::default(), loaded, [1; 32]);
    let page = it.grants().page(NOW, ROOT, GrantId(0), 0, false);
    let names: Vec<&str> = page.grants.iter().map(|row| row.name.as_str()).collect();
    assert_eq!((names, page.next), (vec!["large", "small"], None));
    let shown: usize = page.grants[0].what.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert_eq!(shown, 60 * 200);
}
