//! Scripts about work of the class *idle*, with placement alone. Owners are numbers, and work takes cores.

use master::decide::placement::{
    Class, Decision, LeaseToken, Need, Offer, Placement, PlacementTerms, Session, SessionId, Ticket, TimeLimits,
};
use master::decide::steady::Steady;
use schema::values::{Resources, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

const NOW: Steady = Steady(1_000_000);

#[test]
fn normal_work_goes_first_whatever_the_priority() {
    insta::assert_snapshot!(play(
        "
        1 comes idle 1 priority 9
        2 comes normal 1 priority 0
        w1 connects 1
        w1 asks 1
        2 begins
        2 ends
        w1 asks 1
        "
    ), @r"
    > 1 comes idle 1 priority 9
    > 2 comes normal 1 priority 0
    > w1 connects 1
    > w1 asks 1
      2 is offered to w1
    > 2 begins
    > 2 ends
    > w1 asks 1
      1 is offered to w1
    ");
}

#[test]
fn idle_work_leaves_the_room_for_which_normal_work_waits() {
    insta::assert_snapshot!(play(
        "
        w1 connects 4
        1 comes normal 4 priority 0
        2 comes idle 1 priority 0
        w1 asks 2
        w2 connects 1
        w2 asks 1
        2 begins
        3 comes idle 1 priority 0
        1 is withdrawn
        "
    ), @r"
    > w1 connects 4
    > 1 comes normal 4 priority 0
    > 2 comes idle 1 priority 0
    > w1 asks 2
    > w2 connects 1
    > w2 asks 1
      2 is offered to w2
    > 2 begins
    > 3 comes idle 1 priority 0
    > 1 is withdrawn
      3 is offered to w1
    ");
}

#[test]
fn idle_work_goes_on_when_normal_work_was_placed_elsewhere() {
    insta::assert_snapshot!(play(
        "
        w1 connects 4
        w2 connects 4
        1 comes normal 4 priority 0
        2 comes idle 1 priority 0
        3 comes idle 1 priority 1
        w1 asks 2
        w2 asks 4
        3 begins
        w1 asks 1
        "
    ), @r"
    > w1 connects 4
    > w2 connects 4
    > 1 comes normal 4 priority 0
    > 2 comes idle 1 priority 0
    > 3 comes idle 1 priority 1
    > w1 asks 2
    > w2 asks 4
      1 is offered to w2
      3 is offered to w1
    > 3 begins
    > w1 asks 1
      2 is offered to w1
    ");
}

/// Plays a script. Returns its lines, each followed by what placement did.
fn play(script: &str) -> String {
    let terms = PlacementTerms { offer: Duration::from_secs(10), pools: BTreeMap::new() };
    let it = Placement::new(terms, [3; 32]);
    let mut player = Player { it, sessions: BTreeMap::new(), leases: BTreeMap::new(), out: String::new() };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let _ = writeln!(player.out, "> {line}");
        player.line(line);
        player.settle();
    }
    player.out
}

struct Player {
    it: Placement<u32>,
    sessions: BTreeMap<String, SessionId>,
    leases: BTreeMap<u32, LeaseToken>,
    out: String,
}

impl Player {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [name, "connects", cores] => self.attach(name, number(cores)),
            [name, "asks", cores] => {
                let offer = self.it.take(NOW, self.sessions[name], room(number(cores)));
                self.tell(offer);
            }
            [owner, "comes", class, cores, "priority", priority] => {
                let class = if class == "idle" { Class::Idle } else { Class::Normal };
                self.come(number(owner), class, number(cores), number(priority));
            }
            [owner, "begins"] => drop(self.it.accept(NOW, self.leases[&number(owner)], TimeLimits::default())),
            [owner, "ends"] => drop(self.it.complete(NOW, self.leases[&number(owner)])),
            [owner, "is", "withdrawn"] => drop(self.it.withdraw(NOW, number(owner))),
            _ => panic!("`{line}` is not a line of a script"),
        }
    }

    fn attach(&mut self, name: &str, cores: u32) {
        let mut session = Session::new(name.to_owned(), Time(NOW.0), NOW);
        session.total = room(cores);
        session.pools = Box::from(["default".to_owned()]);
        let id = self.it.attach(session);
        self.sessions.insert(name.to_owned(), id);
    }

    fn come(&mut self, owner: u32, class: Class, cores: u32, priority: u32) {
        let pools = BTreeSet::from(["default".to_owned()]);
        let (on, want) = Default::default();
        let need = Need { on, want, pools, isolation: None, room: room(cores) };
        let priority = i32::try_from(priority).expect("small");
        let ticket = Ticket { owner, need, class, priority, queued: NOW, term: Duration::from_secs(60) };
        let offer = self.it.enqueue(NOW, ticket);
        self.tell(offer);
    }

    fn settle(&mut self) {
        while self.it.next_timeout().is_some_and(|time| time <= NOW) {
            match self.it.tick(NOW) {
                Some(Decision::Offer(offer)) => self.tell(Some(offer)),
                Some(other) => panic!("no time passes: {other:?}"),
                None => {}
            }
        }
        self.it.check();
    }

    fn tell(&mut self, offer: Option<Offer<u32>>) {
        let Some(offer) = offer else { return };
        let (name, _) = self.sessions.iter().find(|(_, id)| **id == offer.session).expect("it is connected");
        let _ = writeln!(self.out, "  {} is offered to {name}", offer.owner);
        self.leases.insert(offer.owner, offer.token);
    }
}

fn number(text: &str) -> u32 {
    text.parse().expect("a number")
}

fn room(cores: u32) -> Resources {
    Resources { slots: 1, cpus_milli: cores * 1_000, memory: 0 }
}
