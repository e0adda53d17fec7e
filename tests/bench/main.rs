//! `guild-bench`: measures Guild end to end, with its own programs over TLS on loopback, and prints one JSON object per
//! line. Run it as `cargo run --profile dist --bin guild-bench -- [--quick] [METRIC…] [--with-buildbot]`.
//!
//! Compare absolute figures only between quiet machines. So that you can tell, each run begins with a baseline of the machine, and
//! every line has the load average.

mod chart;
mod crowd;
mod figures;
mod inside;
mod lab;
mod metrics;
mod peer;
mod proc;

use clap::{Parser, ValueEnum};
use figures::Figures;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tokio::task::LocalSet;

/// Measures Guild end to end, with its own programs over TLS on loopback. Prints one JSON object per line.
#[derive(Parser)]
#[command(name = "guild-bench")]
pub struct Options {
    /// Measure smaller sizes: without METRIC, the whole run then takes less than 3 minutes
    #[arg(long)]
    quick: bool,
    /// Run BuildBot's harness too, and put Guild and BuildBot into the table and the chart
    #[arg(long)]
    with_buildbot: bool,
    /// Directory of BuildBot's harness, which has `bench.py`. Run its `setup.sh` first
    #[arg(long, default_value = "../shared/peers/buildbot")]
    harness: PathBuf,
    /// Directory for `bench.jsonl`, `bench.md` and `bench.svg`
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Minutes that `day` plays (the whole day has 72), or that `view-only` lasts
    #[arg(long)]
    minutes: Option<f64>,
    /// Metrics to measure. Without any: all but `projects`, `day`, `build`, `hostile` and `view-only`
    metrics: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Metric {
    /// Time from the start of master and worker until the worker is attached; sizes of the programs
    Ready,
    /// Time of the trivial job, one build after another
    Latency,
    /// Trivial jobs per second, if many are queued at once
    Throughput,
    /// Time to write a log of 100 MB, and to read it back
    Log,
    /// Time from the printing of a line until a follower of the log has it
    LogLag,
    /// Memory and CPU of the master with many workers that have nothing to do
    Idle,
    /// Time from the end of a command until a subscriber has the event of it
    Events,
    /// Trivial jobs per second with many subscribers to events
    Fanout,
    /// Time of lists, and of the master's start, with many builds in the store
    History,
    /// Time of each page with many builds in the store, and what readers of pages cost other clients
    Pages,
    /// Time from a push and its signed webhook delivery until the step runs
    Hook,
    /// Memory and CPU of the master while many clients follow one long log
    Followers,
    /// Cost of many queued jobs: time of decisions, lists and a restart, and memory
    Queue,
    /// Time of checkouts, compared with plain git
    Checkout,
    /// Bytes on the wire for a commit in a large repository; git's CPU if 40 workers want one commit
    Packs,
    /// Time to revoke a grant with 1,000 calls in flight
    Revoke,
    /// Time until the many tests of a job can be listed, what that costs other clients, and the time of such lists
    Tests,
    /// Time that a running step loses if its master or its worker is killed
    Kill,
    /// Cost of many projects: the master's start, processes of git, and the CPU of polling an unchanged repository
    Projects,
    /// A day of a large installation, played 20 times as fast
    Day,
    /// Time of a build of everything from nothing, with the profile of the packages
    Build,
    /// Memory that hostile peers cost a master, and times of another client's calls and logins meanwhile
    Hostile,
    /// Memory, and times of another client, while a holder of `view` makes all calls that it may, for `--minutes`
    ViewOnly,
}

impl Metric {
    /// Whether the metric runs only if it is named: it takes long, or answers a question that is seldom asked.
    fn must_be_named(self) -> bool {
        matches!(self, Metric::Projects | Metric::Day | Metric::Build | Metric::Hostile | Metric::ViewOnly)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(done) = inside::main(&arguments) {
        return done;
    }
    let options = Options::parse();
    let bin = programs();
    let figures = Figures::default();
    metrics::baseline(&figures);
    for metric in Metric::value_variants() {
        let is_named = options.metrics.contains(metric);
        let is_usual = options.metrics.is_empty() && !metric.must_be_named();
        let is_wanted = is_named || is_usual;
        if is_wanted {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, metrics::measure(*metric, &options, &bin, &figures));
        }
    }
    if options.with_buildbot {
        peer::measure(&options, &figures);
    }
    match chart::write(&options.out, &figures.all()) {
        Ok(table) => eprintln!("{table}"),
        Err(error) => eprintln!("{}: {error}", options.out.display()),
    }
    ExitCode::SUCCESS
}

/// Builds the programs to measure, with the profile of this program, and returns their directory. Does not build without cargo.
fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let bin = own.parent().map_or_else(PathBuf::new, Path::to_owned);
    if let Some(cargo) = std::env::var_os("CARGO") {
        // cargo names the folder of a profile after the profile, except that the folder of `dev` is `debug`
        let folder = bin.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let profile = if folder == "debug" { "dev".to_owned() } else { folder };
        let built =
            Command::new(cargo).args(["build", "--profile", &profile, "--bins", "--locked", "--quiet"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the programs cannot be built with the profile {profile}");
    }
    bin
}
