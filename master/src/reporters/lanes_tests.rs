//! Lanes as small scripts: commits with their parents and results, and what is to be told of them.

use super::*;
use crate::reporters::ancestry::Dag;

const BORN: Time = Time(1_000);
const ENDED: Time = Time(2_000);
const NOW: Time = Time(3_000);

struct World {
    names: Vec<String>,
    dag: Dag,
    runs: Vec<Run>,
    is_whole: bool,
    said: Said,
}

/// `c-b-a=bad` says that b and a are parents of c, and that c is bad.
fn world(text: &str) -> World {
    let mut world =
        World { names: Vec::new(), dag: Dag::default(), runs: Vec::new(), is_whole: true, said: Said::default() };
    for word in text.split_whitespace() {
        let (commits, verdict) = word.split_once('=').unwrap();
        let mut commits = commits.split('-');
        let name = commits.next().unwrap();
        world.dag.learn(name, commits);
        world.names.push(name.to_owned());
        world.runs.push(Run { verdict: verdict_of(verdict), ended: ENDED });
    }
    world
}

fn verdict_of(word: &str) -> Verdict {
    match word {
        "good" => Verdict::Good,
        "bad" => Verdict::Bad,
        "open" => Verdict::Open,
        "silent" => Verdict::Silent,
        "absent" => Verdict::Absent,
        _ => panic!("{word}"),
    }
}

impl World {
    fn windowed(mut self) -> World {
        self.is_whole = false;
        self
    }

    /// Commits that were told: `c` failing, `+c` fixed.
    fn said(mut self, text: &str) -> World {
        for word in text.split_whitespace() {
            match word.strip_prefix('+') {
                Some(name) => self.said.fixed.insert(self.place(name)),
                None => self.said.failing.insert(self.place(word)),
            };
        }
        self
    }

    fn set(&mut self, name: &str, verdict: &str) {
        let place = self.place(name);
        self.runs[place].verdict = verdict_of(verdict);
    }

    fn place(&self, name: &str) -> usize {
        self.names.iter().position(|other| other == name).unwrap()
    }

    fn due_at(&self, now: Time) -> Due {
        let ancestry = self.dag.ancestry(&self.names);
        due(&Lane { ancestry: &ancestry, runs: &self.runs, is_whole: self.is_whole }, &self.said, BORN, now)
    }

    fn words(&self, due: &Due) -> String {
        let words = due.transitions.iter().map(|it| {
            let sign = if it.turn == Turn::Fixed { "+" } else { "" };
            let since: String = it.since.iter().map(|place| self.names[*place].as_str()).collect();
            format!("{sign}{}({since})", self.names[it.at])
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn told(&self) -> String {
        self.words(&self.due_at(NOW))
    }

    /// Tells it, and remembers.
    fn tell(&mut self) -> String {
        let due = self.due_at(NOW);
        for it in &due.transitions {
            match it.turn {
                Turn::NewlyFailing => self.said.failing.insert(it.at),
                Turn::Fixed => self.said.fixed.insert(it.at),
            };
        }
        self.words(&due)
    }
}

#[test]
fn what_is_told() {
    for (text, told) in [
        ("a=good b-a=good", ""),
        ("a=good b-a=bad c-b=bad", "b(a)"),
        ("a=good b-a=bad c-b=bad d-c=good e-d=good", "b(a) +d(c)"),
        // the first result
        ("a=bad b-a=bad", "a()"),
        ("a=silent b-a=bad", "b()"),
        // what says nothing is passed over
        ("a=good b-a=silent c-b=bad d-c=silent e-d=good", "c(a) +e(c)"),
        // what could still change it is waited for
        ("a=good b-a=open c-b=bad", ""),
        ("a=good b-a=bad c-b=open d-c=good", "b(a)"),
        ("a=open b-a=good c-b=bad", "c(b)"),
        // and what follows is told when its turn comes
        ("a=good b-a=open c-b=bad d-c=good", ""),
        // a forced push: d descends from a, and not from b and c
        ("a=good b-a=bad c-b=bad d-a=good", "b(a)"),
        ("a=good b-a=good c-b=good d-a=bad", "d(a)"),
        ("a=bad b-a=good c-a=good", "a() +b(a) +c(a)"),
        // merges: the nearest on all sides
        ("a=good b-a=bad c-a=good m-b-c=bad", "b(a)"),
        ("a=good b-a=good c-a=good m-c-b=bad", "m(bc)"),
        ("a=good b-a=open c-a=good m-c-b=bad", ""),
        ("a=good b-a=bad c-a=good m-b-c=good", "b(a) +m(b)"),
    ] {
        let mut told_of: Vec<String> = world(text).told().split(' ').map(str::to_owned).collect();
        let mut wanted: Vec<String> = told.split(' ').map(str::to_owned).collect();
        for words in [&mut told_of, &mut wanted] {
            // of merged branches the order is nobody's concern
            words.iter_mut().for_each(|word| *word = word.replace("(cb)", "(bc)"));
            words.sort();
        }
        assert_eq!(told_of, wanted, "{text}");
    }
}

#[test]
fn nothing_is_told_twice_whatever_comes_later() {
    let mut it = world("a=good b-a=silent c-b=bad d-c=bad");
    assert_eq!((it.tell(), it.tell()), ("c(a)".to_owned(), String::new()));
    // a retry shows that it began earlier
    it.set("b", "bad");
    assert_eq!(it.tell(), "");
    // or that it did not
    it.set("b", "good");
    assert_eq!(it.tell(), "");
    it.set("d", "good");
    assert_eq!(it.tell(), "+d(c)");
    it.set("d", "bad");
    assert_eq!(it.tell(), "");
}

#[test]
fn a_fix_that_was_told_may_turn_out_to_be_an_earlier_one() {
    let mut it = world("a=good b-a=bad c-b=silent d-c=good e-d=good").said("b +d");
    assert_eq!(it.tell(), "");
    it.set("c", "good");
    assert_eq!(it.tell(), "");
    // or another failure came between
    it.set("c", "bad");
    assert_eq!(it.tell(), "");
}

#[test]
fn the_same_commit_built_again() {
    let mut it = world("a=good b-a=bad").said("b");
    it.set("b", "good");
    assert_eq!(it.tell(), "+b(b)");
    it.set("b", "bad");
    assert_eq!(it.tell(), "", "it was told");
    // what fails behind it is another matter
    let it = world("a=good b-a=good c-b=bad").said("b");
    assert_eq!(it.told(), "+b(b) c(b)");
}

#[test]
fn a_fix_is_told_to_those_who_were_told_of_the_failure() {
    assert_eq!(world("a=bad b-a=good").windowed().told(), "");
    let mut it = world("a=good b-a=bad c-b=good");
    it.runs[1].ended = BORN;
    assert_eq!(it.told(), "", "old news");
    it.said.failing.insert(1);
    assert_eq!(it.told(), "+c(b)");
}

#[test]
fn what_came_before_the_window_is_unknown() {
    assert_eq!(world("a=bad b-a=bad").windowed().told(), "");
    assert_eq!(world("a=absent b-a=bad").windowed().told(), "b()", "the job is new");
    let mut it = world("a=bad b-a=good c-b=bad").windowed();
    it.said.is_failing_before = true;
    let due = it.due_at(NOW);
    assert_eq!(it.words(&due), "+b(a) c(b)");
    assert_eq!(due.transitions[0].failure, None);
}

#[test]
fn patience_ends() {
    let it = world("a=good b-a=open c-b=bad d-c=open e-d=good");
    let due = it.due_at(NOW);
    assert_eq!((it.words(&due).as_str(), due.again), ("", Some(ENDED.after(PATIENCE))));
    let due = it.due_at(ENDED.after(PATIENCE));
    assert_eq!((it.words(&due).as_str(), due.again), ("c(a) +e(c)", None));
}
