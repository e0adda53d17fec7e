//! The metrics. Each file measures one or two, and most files start laboratories of their own for that.

mod baseline;
mod build;
mod checkout;
mod day;
mod events;
mod fanout;
mod followers;
mod history;
mod hook;
mod hostile;
mod idle;
mod kill;
mod latency;
mod log;
mod packs;
mod pages;
mod projects;
mod queue;
mod ready;
mod revoke;
mod test_history;
mod throughput;

pub use baseline::baseline;

use crate::figures::Figures;
use crate::{Metric, Options};
use std::path::Path;

pub async fn measure(metric: Metric, options: &Options, bin: &Path, figures: &Figures) {
    let bench = Bench { quick: options.quick, minutes: options.minutes, bin, figures };
    match metric {
        Metric::Ready => ready::measure(&bench).await,
        Metric::Latency => latency::measure(&bench).await,
        Metric::Throughput => throughput::measure(&bench).await,
        Metric::Log => log::measure(&bench).await,
        Metric::LogLag => log::lag(&bench).await,
        Metric::Idle => idle::measure(&bench).await,
        Metric::Events => events::measure(&bench).await,
        Metric::Fanout => fanout::measure(&bench).await,
        Metric::History => history::measure(&bench).await,
        Metric::Hook => hook::measure(&bench).await,
        Metric::Pages => pages::measure(&bench).await,
        Metric::Build => build::measure(&bench),
        Metric::Day => day::measure(&bench).await,
        Metric::Followers => followers::measure(&bench).await,
        Metric::Projects => projects::measure(&bench).await,
        Metric::Packs => packs::measure(&bench).await,
        Metric::Kill => kill::measure(&bench).await,
        Metric::Queue => queue::measure(&bench).await,
        Metric::Checkout => checkout::measure(&bench).await,
        Metric::Hostile => hostile::measure(&bench).await,
        Metric::ViewOnly => hostile::view_only(&bench).await,
        Metric::Tests => test_history::measure(&bench).await,
        Metric::Revoke => revoke::measure(&bench).await,
    }
}

/// `Bench` is what every metric needs: the options of the run, the directory of the programs, and the place for figures.
struct Bench<'a> {
    quick: bool,
    minutes: Option<f64>,
    bin: &'a Path,
    figures: &'a Figures,
}

impl Bench<'_> {
    fn size(&self, quick: usize, full: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// Returns the shell command that runs this program with these arguments.
fn itself(words: &str) -> String {
    let own = std::env::current_exe().expect("this program has a path");
    format!("exec '{}' {words}", own.display())
}
