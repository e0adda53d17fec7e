//! Random tests that can be replayed: every run has a seed, and a run that fails prints the command that repeats it.

/// `Random` is a small generator (SplitMix64, Steele et al. 2014). It is fast, and gives the same numbers on each machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a random number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }

    /// Returns true with a probability of `percent` in 100.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { Some(&from[self.below(from.len())]) }
    }
}

/// Runs `test` with the seeds from 0 up to `GUILD_SEEDS`, or else up to `runs`. If `GUILD_SEED` is set, runs only that seed.
/// With `GUILD_PROGRESS=FILE` the file has the next seed, so a campaign that was stopped goes on there.
pub fn with_seeds(name: &str, runs: u64, test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let only: Option<u64> = std::env::var("GUILD_SEED").ok().and_then(|seed| seed.parse().ok());
    let runs = std::env::var("GUILD_SEEDS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(runs);
    let progress = std::env::var_os("GUILD_PROGRESS");
    let done = progress.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    let first = done.and_then(|next| next.trim().parse().ok()).unwrap_or(0);
    let seeds = only.map_or(first..runs, |seed| seed..seed + 1);
    for seed in seeds.filter(|seed| only.is_some() || is_mine(*seed)) {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            eprintln!("seed {seed} fails; again: GUILD_SEED={seed} cargo test -p tests {name} -- --nocapture");
            std::panic::resume_unwind(panic);
        }
        if let Some(file) = progress.as_ref().filter(|_| only.is_none()) {
            std::fs::write(file, format!("{}\n", seed + 1)).expect("the progress is written");
        }
    }
}

/// Whether this process runs the seed. `GUILD_SHARE=0/2` gives a process the even seeds and `1/2` another one the odd seeds.
fn is_mine(seed: u64) -> bool {
    let share = std::env::var("GUILD_SHARE").ok();
    let share = share.as_deref().and_then(|share| share.split_once('/'));
    let numbers = share.and_then(|(rest, of)| Some((rest.parse::<u64>().ok()?, of.parse::<u64>().ok()?)));
    numbers.is_none_or(|(rest, of)| seed % of.max(1) == rest)
}
