//! The commands, one file each, and what is the same for all: options, deadline, interrupt, error and exit status.

mod cancel;
mod check;
mod completions;
mod config;
mod doctor;
mod events;
mod explain;
mod grant;
mod init;
mod list;
mod login;
mod logs;
mod notify;
mod open;
mod project;
mod queue;
mod retry;
mod run;
mod schema;
mod show;
mod status;
mod watch;
mod worker;

use crate::here::Here;
use ::schema::values::TimeSpan;
use clap::{Args, Parser, Subcommand};
use client::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Detached by the user; what was followed runs on.
const DETACHED: u8 = 130;

#[derive(Parser)]
#[command(name = "guild", version, about = "Look at builds and steer them", max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Args)]
pub(crate) struct Options {
    /// Use this credential file rather than a context
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cap: Option<PathBuf>,
    /// Use this context
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// JSON Lines; `--json=a,b` only these fields
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "FIELDS")]
    pub(crate) json: Option<String>,
    /// Only these columns, in this order; any field that --json shows can be one
    #[arg(long, global = true, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) columns: Vec<String>,
    /// No line of headers above a table
    #[arg(long, global = true)]
    pub(crate) no_headers: bool,
    /// Exit with the outcome of what is shown, not with 0
    #[arg(long, global = true)]
    pub(crate) exit_status: bool,
    /// Give up after this time (30s, 5m, 1h) with status 8
    #[arg(long, global = true, value_parser = parse_duration, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Subcommand)]
enum Command {
    /// Store a credential from the file that somebody issued to you
    Login(login::Login),
    /// Forget a credential
    Logout(login::Logout),
    /// Show what the credential allows
    Whoami(login::Whoami),
    /// The latest build of this branch, jobs by platforms
    Status(status::Status),
    /// Builds, newest first
    List(list::List),
    /// One build or job in full
    Show(show::Show),
    /// Why a job waits and what would change that, or why it ran where it ran
    Explain(explain::Explain),
    /// The jobs that wait for a worker, in the order of placement
    Queue(queue::Queue),
    /// Follow what happens; with a selector, until that build ends
    Watch(watch::Watch),
    /// Print logs, exactly as the steps wrote them
    Logs(logs::Logs),
    /// The master's pages in a browser
    Open(open::Open),
    /// Ask for a build
    Run(run::Run),
    /// Make a new build that repeats an old one
    Retry(retry::Retry),
    /// Cancel a build or a job
    Cancel(cancel::Cancel),
    /// Say what is wrong with a pipeline file, or which jobs it makes
    Check(check::Check),
    /// Write a guild.toml to begin with, from what the repository is
    Init(init::Init),
    /// Look at workers and steer them
    #[command(subcommand)]
    Worker(worker::Worker),
    /// Look at projects and add one
    #[command(subcommand)]
    Project(project::Project),
    /// The master file: what it says that the master does not run with, and its reload
    #[command(subcommand)]
    Config(config::Config),
    /// Issue credentials and take them back
    #[command(subcommand)]
    Grant(grant::Grant),
    /// Say what is wrong with this installation, from here to the master, and what to do about it
    Doctor(doctor::Doctor),
    /// The master's events
    Events(events::Events),
    /// Tell the master that a repository changed (for a post-receive hook)
    Notify(notify::Notify),
    /// Print a JSON Schema of guild.toml, by which an editor completes and checks it
    Schema(schema::Schema),
    /// Print what a shell completes this command with
    Completions(completions::Completions),
    /// Print the manual page, or write all of them
    Man(completions::Man),
}

/// Runs one command; answers the exit status.
pub(crate) async fn run(cli: Cli) -> u8 {
    let deadline = cli.options.timeout;
    // what these write is for others to read as well
    if !matches!(cli.command, Command::Init(_) | Command::Man(_)) {
        ::schema::private_file::keep_to_owner();
    }
    let here = Here::new(cli.options);
    let work = dispatch(cli.command, &here);
    let result = tokio::select! {
        result = work => result,
        () = elapse(deadline) => Err(Error::Timeout(deadline.unwrap_or_default())),
        _ = tokio::signal::ctrl_c() => {
            here.note("detached: what was asked for goes on");
            Ok(DETACHED)
        }
    };
    match result {
        Ok(status) => status,
        // the reader of our output has seen enough
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            here.complain(&error);
            error.exit_code()
        }
    }
}

async fn dispatch(command: Command, here: &Here) -> Result<u8, Error> {
    match command {
        Command::Login(command) => command.run(here).await,
        Command::Logout(command) => command.run(here),
        Command::Whoami(command) => command.run(here).await,
        Command::Status(command) => command.run(here).await,
        Command::List(command) => command.run(here).await,
        Command::Show(command) => command.run(here).await,
        Command::Explain(command) => command.run(here).await,
        Command::Queue(command) => command.run(here).await,
        Command::Watch(command) => command.run(here).await,
        Command::Logs(command) => command.run(here).await,
        Command::Open(command) => command.run(here).await,
        Command::Run(command) => command.run(here).await,
        Command::Retry(command) => command.run(here).await,
        Command::Cancel(command) => command.run(here).await,
        Command::Check(command) => command.run(here),
        Command::Init(command) => command.run(here),
        Command::Worker(command) => command.run(here).await,
        Command::Project(command) => command.run(here).await,
        Command::Config(command) => command.run(here).await,
        Command::Grant(command) => command.run(here).await,
        Command::Doctor(command) => command.run(here).await,
        Command::Events(command) => command.run(here).await,
        Command::Notify(command) => command.run(here).await,
        Command::Schema(command) => command.run(here),
        Command::Completions(command) => command.run(here),
        Command::Man(command) => command.run(here),
    }
}

async fn elapse(deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline).await,
        None => std::future::pending().await,
    }
}

/// `90s`, `5m`, `1h30m`, `7d`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let span = if is_bare { TimeSpan::parse(&format!("{text}s")) } else { TimeSpan::parse(text) };
    span.map(|span| span.0).ok_or_else(|| format!("`{text}` is no time: write 90s, 5m, 1h30m or 7d, at most 100y"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read() {
        assert_eq!(parse_duration("90").unwrap(), Duration::from_secs(90));
        assert_eq!(parse_duration("2h").unwrap(), Duration::from_secs(7_200));
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("3weeks").is_err());
        assert!(parse_duration("99999999999999999999d").is_err());
    }
}
