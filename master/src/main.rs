//! The program `guild-master`: reads the arguments, and runs the command that they name.

use master::config::{self, Config};
use master::keep::installation::{self, create_private};
use master::keep::store::Store;
use master::program::anew;
use master::program::arguments::{self, Arguments, Command};
use master::program::backup;
use master::program::reload::own_request;
use master::program::systemd_unit;
use master::program::up;
use master::serve::config_calls::ConfigCalls;
use schema::manual::{self, OfItself};
use schema::shown;
use schema::sturdy_ref::SturdyRef;
use schema::values::Difference;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use system::heap;
use system::private_file;
use system::systemd::{self, unit::Instance};
use tokio::signal::unix::{Signal, SignalKind, signal};

const USAGE: u8 = 2;
const FAULT: u8 = 4;

fn main() -> ExitCode {
    // this program is also the worker and the supervisor that `up` needs, which must start before any runtime
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(worker::SUPERVISE) => return worker::supervise_main(&arguments[2..]),
        Some(up::WORKER) => return up::work(arguments[1..].to_vec()),
        Some(_) | None => {}
    }
    heap::share();
    start_tracing();
    let arguments: Arguments = match manual::arguments(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(status) => return ExitCode::from(status),
    };
    // what the program prints about itself may be readable for everybody, so the umask stays
    if !matches!(arguments.command, Command::OfItself(_)) {
        private_file::keep_to_owner();
    }
    match arguments.command {
        Command::Up(arguments) => {
            open_files();
            up::main(arguments)
        }
        Command::Init { dir, advertise, listen, web, url, unit } => {
            let text = config::starter(&advertise, listen.as_deref(), web.as_deref(), url.as_deref());
            in_runtime(async move { init(&dir, text.map_err(|why| Failure(USAGE, why))?, unit).await })
        }
        Command::Run { config } => in_runtime(run(&config)),
        Command::Check { config } => in_runtime(check(&config)),
        Command::TestMail { config, to } => finish(test_mail(&config, &to)),
        Command::OperatorCap { config, output } => in_runtime(operator_cap(&config, &output)),
        Command::Backup { config, accept_damage, file } => in_runtime(save(&config, &file, accept_damage)),
        Command::Restore { config, file } => in_runtime(restore(&config, &file)),
        Command::BeginAnew { config, keep_store } => finish(begin_anew(&config, keep_store)),
        Command::OfItself(command) => finish(of_itself(&command)),
    }
}

/// A `Failure` is an exit status, and the text that says what went wrong.
struct Failure(u8, String);

impl Failure {
    fn fault(error: impl std::fmt::Display) -> Failure {
        Failure(FAULT, error.to_string())
    }
}

fn in_runtime(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    finish(tokio::task::LocalSet::new().block_on(&runtime, command))
}

fn finish(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, text)) => {
            shown::tell(&format!("guild-master: {text}"));
            ExitCode::from(code)
        }
    }
}

fn of_itself(command: &OfItself) -> Result<(), Failure> {
    print(&command.tell(arguments::command()).map_err(|why| Failure(USAGE, why))?)
}

async fn run(path: &Path) -> Result<(), Failure> {
    let config = load(path)?;
    config.warn();
    open_files();
    tracing::info!(listen = %config.listen.rpc, state = %config.state.display(), "the master starts");
    let listener = master::listen(&config.listen.rpc).await.map_err(Failure::fault)?;
    systemd::status("opening the store");
    let master = master::open(config, listener).await.map_err(Failure::fault)?;
    // from here on SIGHUP no longer ends the process
    let hangups = signal(SignalKind::hangup()).map_err(Failure::fault)?;
    tokio::task::spawn_local(reload_on_hangup(hangups, master.config_calls()));
    master.serve(up::stop_signal()).await.map_err(Failure::fault)
}

/// Reads the master file again at each SIGHUP.
async fn reload_on_hangup(mut hangups: Signal, calls: ConfigCalls) {
    while hangups.recv().await.is_some() {
        systemd::reloading();
        match calls.reload(own_request()).await {
            Ok(found) => found.iter().for_each(tell),
            Err(refusal) => {
                tracing::error!("the master file has errors, so the master keeps its configuration: {refusal}")
            }
        }
        systemd::ready();
    }
}

fn tell(difference: &Difference) {
    let Difference { key, before, after, needs_restart } = difference;
    match needs_restart {
        true => tracing::warn!(key, before, after, "the master file has changed, and this change needs a restart"),
        false => tracing::info!(key, before, after, "the master file has changed, and this change is in force"),
    }
}

/// Raises the soft limit of open files to the hard one. The usual soft limit is 1,024, and each connection is a descriptor.
fn open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, limit = ?limit.current, "the limit of open files cannot be raised, so the master takes fewer connections");
    }
}

async fn check(path: &Path) -> Result<(), Failure> {
    let config = load(path)?;
    for warning in &config.warnings {
        say(&format!("{}: {warning}", path.display()))?;
    }
    let lacking =
        config.named_files().into_iter().filter_map(|(key, file)| Some((key, std::fs::File::open(&file).err()?, file)));
    let mut missing = Vec::new();
    for (key, error, file) in lacking {
        let text = format!("{}: `{key}` names {}: {error}", path.display(), file.display());
        match error.kind() == std::io::ErrorKind::NotFound {
            true => missing.push(text),
            // perhaps only the master's user can read the file
            false => say(&format!("{text}; the master's user must be able to read it"))?,
        }
    }
    if !missing.is_empty() {
        let where_from = "a relative path is relative to the file that names it";
        return Err(Failure(USAGE, format!("{}\nhelp: put the file there; {where_from}", missing.join("\n"))));
    }
    say(&format!("{}: {} projects, no errors", path.display(), config.projects.len()))
}

fn test_mail(path: &Path, to: &str) -> Result<(), Failure> {
    let Some(mail) = load(path)?.mail else {
        return Err(Failure(USAGE, format!("{} has no [mail]: add it, with `smtp` and `from`", path.display())));
    };
    let now = config::clock::Clock::system().now();
    say(&master::serve::reporters::send_test_mail(&mail, to, now).map_err(Failure::fault)?)
}

/// Makes an installation with the master file `text`. If a unit is asked for, an installation that exists stays as it is.
async fn init(dir: &Path, text: String, unit: Option<Option<Instance>>) -> Result<(), Failure> {
    let (file, cap) = (dir.join("master.toml"), dir.join("operator.cap"));
    let is_there = file.exists();
    if is_there && unit.is_none() {
        let text = format!("{} already exists: run `guild-master operator-cap` for a new credential", file.display());
        return Err(Failure(USAGE, text));
    }
    let unit = unit.map(|instance| write_unit(dir, instance)).transpose()?;
    if is_there {
        say(&format!("master file   {} (it already existed, and was not changed)", file.display()))?;
    } else {
        create_private(dir).map_err(Failure::fault)?;
        std::fs::write(&file, text).map_err(|error| Failure::fault(format!("{}: {error}", file.display())))?;
        write_operator_cap(&load(&file)?, &cap).await?;
        say(&format!("master file   {}", file.display()))?;
        say(&format!("operator      {} (one use: `guild login {}`)", cap.display(), cap.display()))?;
    }
    match unit {
        None => say(&format!("next          guild-master run --config {}", file.display())),
        Some(unit) => say(&unit.told()),
    }
}

fn write_unit(dir: &Path, instance: Option<Instance>) -> Result<systemd_unit::Prepared, Failure> {
    let prepared = systemd_unit::Prepared::new(dir, instance).and_then(|unit| unit.write().map(|()| unit));
    prepared.map_err(|error| Failure(if error.is_usage() { USAGE } else { FAULT }, error.to_string()))
}

async fn operator_cap(config: &Path, output: &Path) -> Result<(), Failure> {
    write_operator_cap(&load(config)?, output).await?;
    say(&format!("{} (one use: `guild login {}`)", output.display(), output.display()))
}

/// Returns the folder of the master file.
fn base_of(config: &Path) -> &Path {
    config.parent().filter(|base| !base.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

async fn save(config: &Path, file: &Path, accepts_damage: bool) -> Result<(), Failure> {
    let loaded = load(config)?;
    let base = base_of(config);
    let written = backup::write_and_tell(&loaded.state, Some(base), file, accepts_damage);
    let (held, damage) = written.map_err(Failure::fault)?;
    damage.iter().try_for_each(|what| say(&format!("damaged       {what}")))?;
    say(&format!("{}: {} files, {} bytes", file.display(), held.files, held.size))?;
    let files = [config.to_owned()].into_iter().chain(loaded.included_files());
    let files = files.chain(loaded.named_files().into_iter().map(|(_, file)| file)).filter(|file| file.exists());
    let saved = std::path::absolute(base.join(backup::PROJECTS)).unwrap_or_default();
    let files = files.filter(|file| std::path::absolute(file).map_or(true, |file| file.parent() != Some(&*saved)));
    let files: std::collections::BTreeSet<PathBuf> = files.collect();
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    say(&format!("not in it     {} (copy these as well)", files.join(" ")))
}

async fn restore(config: &Path, file: &Path) -> Result<(), Failure> {
    let state = load(config)?.state;
    let held = backup::restore_beside(file, &state, Some(base_of(config))).map_err(Failure::fault)?;
    say(&format!("{}: {} files, {} bytes", state.display(), held.files, held.size))?;
    say(&format!("next          guild-master run --config {}", config.display()))
}

fn begin_anew(config: &Path, keeps_store: bool) -> Result<(), Failure> {
    let state = load(config)?.state;
    match keeps_store {
        true => anew::keep_store(&state).map_err(Failure::fault)?,
        false => {
            let aside = anew::begin(&state).map_err(Failure::fault)?;
            say(&format!("set aside     {}", aside.display()))?;
        }
    }
    say(&format!("next          guild-master run --config {}", config.display()))
}

async fn write_operator_cap(config: &Config, output: &Path) -> Result<(), Failure> {
    let identity = installation::identity(&config.state).map_err(Failure::fault)?;
    let store = Store::open(&config.state).map_err(Failure::fault)?;
    let joined = installation::operator_join(&store, &config.listen.advertise, identity.fingerprint()).await;
    let reference: SturdyRef = joined.map_err(Failure::fault)?;
    reference.save(output).map_err(|error| Failure::fault(format!("{}: {error}", output.display())))
}

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|error| Failure(USAGE, error.to_string()))
}

fn say(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

fn print(text: &str) -> Result<(), Failure> {
    manual::print(text).map_err(|error| Failure::fault(format!("the output cannot be written: {error}")))
}

fn start_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("GUILD_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
