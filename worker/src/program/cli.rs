//! The commands of `guild-worker`, from their arguments to [`crate::program::run`]. `guild-master up` runs its worker through them
//! too.

use crate::config::{Config, ConfigError, default_state};
use crate::disk::private_dir::private_dir;
use crate::process::open_files;
use crate::process::world::World;
use crate::program::control;
use crate::program::run::{Ended, RunError, Shutdown, run};
use crate::program::systemd_unit;
use clap::{CommandFactory as _, Parser, Subcommand};
use schema::gateway_capnp::gateway;
use schema::identity::Identity;
use schema::limits::{self, HOLDER, WORD_TOLD};
use schema::manual::{self, OfItself};
use schema::shown;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{RefusalCode, TierName};
use schema::vat::{self, Limits};
use schema::wire;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use system::private_file;
use system::systemd::unit::UnitError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

const USAGE: u8 = 2;
const FAULT: u8 = 4;
const NOT_PERMITTED: u8 = 5;
const UNREACHABLE: u8 = 6;
const NOT_FOUND: u8 = 7;
const REDEEM_MAX: Duration = Duration::from_secs(30);

/// A worker of a Guild. It runs jobs and streams their logs to the master.
#[derive(Parser)]
#[command(name = "guild-worker", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The directory in which the worker keeps its key, its credential and its work [default: ~/.local/state/guild/worker]
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Redeem a one-use join, and store the new credential of this worker
    Join {
        /// The file with the join, or - for standard input
        file: PathBuf,
        /// Also write a systemd unit that runs the worker as this user
        #[arg(long)]
        unit: bool,
    },
    /// Run the worker in the foreground
    Run,
    /// Print the platform, labels and room that this worker reports
    Probe,
    /// Print the jobs that the worker is running
    Status,
    /// Let the running worker finish its jobs, take no more, and end; wait until it has ended
    Drain,
    #[command(flatten)]
    OfItself(OfItself),
}

/// A failure of a command: its exit status, and its text for the user.
struct Failure(u8, String);

impl Failure {
    fn fault(error: impl std::fmt::Display) -> Failure {
        Failure(FAULT, error.to_string())
    }
}

/// Returns the declared arguments of the program `guild-worker`.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs one command. The first argument is the program's name.
pub fn cli(arguments: Vec<String>) -> ExitCode {
    let arguments: Arguments = match manual::arguments(arguments) {
        Ok(arguments) => arguments,
        Err(status) => return ExitCode::from(status),
    };
    start_tracing();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = tokio::task::LocalSet::new().block_on(&runtime, execute(arguments));
            // A blocking thread must not keep the process alive, because its steps run under their own supervisors.
            runtime.shutdown_timeout(Duration::from_millis(100));
            done
        }
        Err(error) => Err(Failure::fault(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, text)) => {
            shown::tell(&format!("guild-worker: {text}"));
            ExitCode::from(code)
        }
    }
}

async fn execute(arguments: Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::OfItself(command) => return of_itself(command),
        Command::Join { .. } | Command::Run | Command::Probe | Command::Status | Command::Drain => {
            private_file::keep_to_owner();
        }
    }
    let no_home = || Failure(USAGE, "there is no home directory: name the state directory with --state".to_owned());
    let state = arguments.state.or_else(default_state).ok_or_else(no_home)?;
    let config = Config::load(&state).map_err(|error: ConfigError| Failure(USAGE, error.to_string()))?;
    match arguments.command {
        Command::Join { file, unit } => join_with(&config, &file, unit).await,
        Command::Run => serve(config).await,
        Command::Probe => probe(&config),
        Command::Status => ask(&state, "status").await,
        Command::Drain => ask(&state, "drain").await,
        // This command needs no state, and was answered above.
        Command::OfItself(_) => Ok(()),
    }
}

fn of_itself(command: &OfItself) -> Result<(), Failure> {
    print(&command.tell(self::command()).map_err(|why| Failure(USAGE, why))?)
}

async fn serve(config: Config) -> Result<(), Failure> {
    let credential = config.credential();
    if !credential.exists() {
        let text = format!("there is no credential {}: run `guild-worker join FILE` first", credential.display());
        return Err(Failure(NOT_PERMITTED, text));
    }
    open_files::raise();
    match run(config, signals().map_err(Failure::fault)?).await {
        Ok(Ended::Stopped | Ended::Drained) => Ok(()),
        Ok(Ended::Revoked(why)) => {
            let text = format!("the credential {} is no longer valid: {why}", credential.display());
            Err(Failure(NOT_PERMITTED, text))
        }
        Err(error @ (RunError::Credential(_) | RunError::Identity(_))) => {
            Err(Failure(NOT_PERMITTED, error.to_string()))
        }
        Err(error @ (RunError::InUse(_) | RunError::State { .. })) => Err(Failure::fault(error)),
    }
}

/// Waits for signals. The first one hands the steps over to the next worker process, and the second one cancels them.
fn signals() -> io::Result<watch::Receiver<Shutdown>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (told, shutdown) = watch::channel(Shutdown::No);
    tokio::task::spawn_local(async move {
        for next in [Shutdown::HandOver, Shutdown::Cancel] {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            told.send_replace(next);
        }
        std::future::pending::<()>().await;
    });
    Ok(shutdown)
}

async fn join_with(config: &Config, file: &Path, wants_unit: bool) -> Result<(), Failure> {
    let wrong = |error: UnitError| Failure(if error.is_usage() { USAGE } else { FAULT }, error.to_string());
    // The unit is prepared before the join is used up.
    let unit = wants_unit.then(|| systemd_unit::prepare(&config.state)).transpose().map_err(wrong)?;
    join(config, file).await?;
    let Some(unit) = unit else { return Ok(()) };
    unit.write().map_err(wrong)?;
    print(&systemd_unit::told(&unit))
}

async fn join(config: &Config, file: &Path) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure(NOT_PERMITTED, error.to_string());
    private_dir(&config.state).map_err(|error| Failure::fault(format!("{}: {error}", config.state.display())))?;
    let join = read_join(file)?;
    let identity = Identity::load_or_create(&config.identity()).map_err(|error| refused(&error))?;
    let mine = own_reference(config, &join)?;
    let redeemed = tokio::time::timeout(REDEEM_MAX, redeem(&join, &mine, &identity)).await;
    let name = redeemed.map_err(|_| Failure(UNREACHABLE, "the master does not answer".to_owned()))??;
    std::fs::rename(pending(config), config.credential()).map_err(Failure::fault)?;
    shown::tell(&format!("joined as {name}: {}", config.credential().display()));
    Ok(())
}

fn read_join(file: &Path) -> Result<SturdyRef, Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure(NOT_PERMITTED, error.to_string());
    if file != Path::new("-") {
        return SturdyRef::load(file).map_err(|error| bad(&error));
    }
    let mut text = String::new();
    io::stdin().lock().take(64 << 10).read_to_string(&mut text).map_err(Failure::fault)?;
    SturdyRef::from_text(&text).map_err(|error| bad(&error))
}

fn pending(config: &Config) -> PathBuf {
    config.state.join("joining.cap")
}

/// Returns this worker's own reference, with a token that the worker made itself. It is on disk before the master hears of it. If
/// the answer is lost, the next `join` asks again with the same token.
fn own_reference(config: &Config, join: &SturdyRef) -> Result<SturdyRef, Failure> {
    let path = pending(config);
    if let Ok(earlier) = SturdyRef::load(&path)
        && earlier.fingerprint == join.fingerprint
    {
        return Ok(SturdyRef { addresses: join.addresses.clone(), ..earlier });
    }
    let mine = SturdyRef { token: Token::random(), ..join.clone() };
    mine.save(&path).map_err(|error| Failure::fault(format!("{}: {error}", path.display())))?;
    Ok(mine)
}

async fn redeem(join: &SturdyRef, mine: &SturdyRef, identity: &Identity) -> Result<String, Failure> {
    let lost = |error: capnp::Error| Failure(UNREACHABLE, error.to_string());
    let secured = vat::dial(join, Some(identity)).await;
    let secured = secured.map_err(|error| Failure(UNREACHABLE, error.to_string()))?;
    let vat = vat::connect(secured.stream, Limits::known());
    let gateway: gateway::Client = vat.bootstrap();
    let mut request = gateway.redeem_request();
    request.get().set_join(join.token.as_bytes());
    request.get().set_token(mine.token.as_bytes());
    let answer = request.send().promise.await.map_err(lost)?;
    let results = answer.get().map_err(lost)?;
    if let Some(refusal) = wire::refusal(results.has_refusal(), results.get_refusal()).map_err(lost)? {
        let is_passing =
            matches!(refusal.code, RefusalCode::Unavailable | RefusalCode::Version | RefusalCode::Internal);
        let code = if is_passing { UNREACHABLE } else { NOT_PERMITTED };
        let help = if refusal.help.is_empty() { String::new() } else { format!("\n{}", refusal.help) };
        return Err(Failure(code, format!("the join was refused: {}{help}", refusal.text)));
    }
    let kind = limits::text(results.get_kind(), &WORD_TOLD).map_err(lost)?;
    if kind != "worker" {
        return Err(Failure(NOT_PERMITTED, format!("this join is for a {kind}, not for a worker")));
    }
    limits::text(results.get_name(), &HOLDER.told()).map_err(lost)
}

fn probe(config: &Config) -> Result<(), Failure> {
    let machine = World::real(config.program.clone()).machine;
    let probes = config.probes(|tier| machine.probe(tier));
    let found = config.description(probes, config.probed_bounds(|| machine.probe_bounds()));
    let mut text = format!("platform\t{}\nhost\t{}\nversion\t{}\n", found.platform, found.host, found.version);
    text.push_str(&format!("slots\t{}\n", found.total.slots));
    text.push_str(&format!("cpus\t{}\n", f64::from(found.total.cpus_milli) / 1000.0));
    text.push_str(&format!("memory\t{}\n", found.total.memory));
    let offered: Vec<&str> = found.isolation.iter().map(TierName::word).collect();
    text.push_str(&format!("isolation\t{}\n", offered.join(",")));
    for (tier, lack) in found.probes.iter().filter_map(|probe| Some((&probe.tier, probe.lack.as_ref()?))) {
        text.push_str(&format!("lacks\t{tier}: {lack}\n"));
    }
    if let Some(bounds) = &found.bounds {
        text.push_str(&format!(
            "step\tprocesses={} memory={} files={}\n",
            bounds.processes, bounds.memory, bounds.files
        ));
        text.extend(bounds.lack.iter().map(|lack| format!("lacks\tlimits of a step: {lack}\n")));
    }
    for (name, value) in &found.labels {
        text.push_str(&format!("label\t{name}={value}\n"));
    }
    print(&text)
}

async fn ask(state: &Path, word: &str) -> Result<(), Failure> {
    let mut printed = Ok(());
    let asked = control::ask(state, word, |line| {
        if printed.is_ok() {
            printed = print(&format!("{line}\n"));
        }
    });
    let asked = asked.await;
    printed?;
    asked.map_err(|error| {
        let is_nobody = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        match is_nobody {
            true => Failure(NOT_FOUND, format!("no worker runs in {}", state.display())),
            false => Failure::fault(error),
        }
    })
}

fn print(text: &str) -> Result<(), Failure> {
    manual::print(text).map_err(|error| Failure::fault(format!("the output cannot be written: {error}")))
}

fn start_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("GUILD_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .try_init();
}
