//! The counts of a campaign, which also survive its restarts.

use std::collections::BTreeMap;
use std::fmt;
use system::fail_point::FAIL_POINTS;

#[derive(Default)]
pub struct Tally {
    /// The seed of the next loop.
    pub next: u64,
    pub loops: u64,
    /// The kills of the master, and those of the worker.
    pub kills: [u64; 2],
    pub points: BTreeMap<String, u64>,
    pub violations: u64,
}

impl Tally {
    /// Reads the counts from the file `GUILD_PROGRESS`. With a `seed`, starts new counts with that seed.
    pub fn load(seed: Option<u64>) -> Tally {
        let text = std::env::var_os("GUILD_PROGRESS").and_then(|file| std::fs::read_to_string(file).ok());
        let mut tally = Tally { next: seed.unwrap_or(0), ..Tally::default() };
        for line in text.iter().flat_map(|text| text.lines()).filter(|_| seed.is_none()) {
            let Some((name, count)) = line.split_once(' ') else { continue };
            let count = count.parse().unwrap_or(0);
            match name {
                "next" => tally.next = count,
                "loops" => tally.loops = count,
                "master" => tally.kills[0] = count,
                "worker" => tally.kills[1] = count,
                point => drop(tally.points.insert(point.to_owned(), count)),
            }
        }
        tally
    }

    pub fn done(&mut self) {
        self.next += 1;
        self.loops += 1;
        let Some(file) = std::env::var_os("GUILD_PROGRESS") else { return };
        let [master, worker] = self.kills;
        let mut text = format!("next {}\nloops {}\nmaster {master}\nworker {worker}\n", self.next, self.loops);
        self.points.iter().for_each(|(point, count)| text.push_str(&format!("{point} {count}\n")));
        std::fs::write(file, text).expect("the progress is written");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [master, worker] = self.kills;
        let hit = FAIL_POINTS.iter().filter(|point| self.points.contains_key(**point)).count();
        for point in FAIL_POINTS {
            writeln!(f, "  {:>4} {point}", self.points.get(*point).copied().unwrap_or(0))?;
        }
        write!(
            f,
            "kill-loops: {} loops, the master killed {master} times at random and the worker {worker}, {hit} of {} fail points hit, \
             {} violations",
            self.loops,
            FAIL_POINTS.len(),
            self.violations
        )
    }
}
