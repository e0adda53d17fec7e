//! The tier of isolation that a job needs, the workers that offer it, and the tier in which one of them runs the job. Pure.
//!
//! A worker of this version reports the result of its probe of each tier, and only that counts. A worker of an earlier version has
//! no results. It still gets the jobs for which nobody names a tier, as it did before, and those for which `plain` is
//! enough. It gets no job for which somebody names a stronger tier.

use schema::values::{Description, Tier, TierName, TierProbe};

/// The tier of isolation in which a job of a trusted build runs if neither the job nor its pool names one.
pub const USUAL_TIER: Tier = Tier::Guard;

/// The weakest tier in which a job may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TierNeed {
    /// Neither the pipeline nor the pool names a tier.
    Usual,
    /// The pipeline or the pool names this tier.
    Asked(TierName),
}

impl TierNeed {
    /// The need of a job for which the pipeline names the tier `job`, in a pool for which the master file names the tier `pool`. It is
    /// the stronger of the two, so a pipeline cannot lower what its pool asks for.
    pub fn of(job: Option<&TierName>, pool: Option<Tier>) -> TierNeed {
        let pool = pool.map(TierName::from);
        match (job, pool) {
            (None, None) => TierNeed::Usual,
            (None, Some(named)) => TierNeed::Asked(named),
            (Some(job), Some(pool)) if pool.covers(job) => TierNeed::Asked(pool),
            (Some(job), Some(_) | None) => TierNeed::Asked(job.clone()),
        }
    }

    pub fn tier(&self) -> TierName {
        match self {
            TierNeed::Usual => USUAL_TIER.into(),
            TierNeed::Asked(tier) => tier.clone(),
        }
    }

    /// Whether a worker whose probes had these results may run the job.
    pub fn is_met_by(&self, probes: &[TierProbe]) -> bool {
        if probes.is_empty() {
            return *self == TierNeed::Usual || self.tier() == Tier::Plain.into();
        }
        probes.iter().any(|probe| probe.works() && probe.tier.covers(&self.tier()))
    }

    /// The tier in which this worker runs the job. If the worker offers the usual tier, it is that one even for `plain`, which is only a
    /// minimum. `None` means that the worker is of an earlier version, which does not report its tiers.
    pub fn in_force(&self, about: &Description) -> Option<TierName> {
        if about.probes.is_empty() {
            return about.isolation.last().cloned();
        }
        let working = about.probes.iter().filter(|probe| probe.works()).map(|probe| &probe.tier);
        let mut fitting: Vec<&TierName> = working.filter(|tier| tier.covers(&self.tier())).collect();
        fitting.sort();
        let usual = fitting.iter().find(|tier| tier.covers(&USUAL_TIER.into()));
        usual.or(fitting.last()).map(|tier| (*tier).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(word: &str) -> Option<TierName> {
        TierName::read(word.to_owned())
    }

    /// A worker that probed these tiers. A tier behind a `!` does not work on it.
    fn worker(words: &str) -> Description {
        let probe = |word: &str| TierProbe {
            tier: word.trim_start_matches('!').to_owned().into(),
            lack: word.starts_with('!').then(|| "it does not work here".to_owned()),
        };
        Description { probes: words.split_whitespace().map(probe).collect(), ..Description::default() }
    }

    #[test]
    fn the_greater_of_what_job_and_pool_name_is_needed() {
        for (job, pool, needed) in [
            ("", None, TierNeed::Usual),
            ("plain", None, TierNeed::Asked(Tier::Plain.into())),
            ("", Some(Tier::Plain), TierNeed::Asked(Tier::Plain.into())),
            ("plain", Some(Tier::Guard), TierNeed::Asked(Tier::Guard.into())),
            ("guard", Some(Tier::Plain), TierNeed::Asked(Tier::Guard.into())),
            ("sandbox", Some(Tier::Guard), TierNeed::Asked(TierName::Unknown("sandbox".to_owned()))),
        ] {
            assert_eq!(TierNeed::of(named(job).as_ref(), pool), needed, "job {job:?}, pool {pool:?}");
        }
    }

    #[test]
    fn only_a_tier_that_was_tried_and_works_counts() {
        // Each row has the worker, what the job names, and the tier in force. "-" means that the worker does not get the job.
        for (tried, job, expected) in [
            ("plain guard", "", "guard"),
            ("plain guard", "guard", "guard"),
            ("plain guard", "plain", "guard"),
            ("plain !guard", "", "-"),
            ("plain !guard", "guard", "-"),
            ("plain !guard", "plain", "plain"),
            ("!plain !guard", "plain", "-"),
            ("guard", "plain", "guard"),
            ("plain sandbox", "plain", "plain"),
            ("plain sandbox", "", "-"),
            ("sandbox", "plain", "-"),
            ("plain guard sandbox", "sandbox", "-"),
        ] {
            let (need, about) = (TierNeed::of(named(job).as_ref(), None), worker(tried));
            let tier = need.is_met_by(&about.probes).then(|| need.in_force(&about).unwrap().to_string());
            assert_eq!(tier.as_deref().unwrap_or("-"), expected, "`{job}` on a worker with `{tried}`");
        }
    }

    #[test]
    fn a_worker_that_tried_nothing_gets_what_nobody_named_a_tier_for() {
        let older = Description { isolation: Tier::ALL.map(TierName::from).to_vec(), ..Description::default() };
        for (job, may) in [("", true), ("plain", true), ("guard", false), ("sandbox", false)] {
            let need = TierNeed::of(named(job).as_ref(), None);
            assert_eq!(need.is_met_by(&older.probes), may, "{job:?}");
            assert_eq!(need.in_force(&older), named("guard"), "it takes its strongest");
        }
        assert_eq!(TierNeed::Usual.in_force(&Description::default()), None);
    }
}
