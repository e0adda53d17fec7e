//! The commands, one file each, and what all of them share: options, deadline, interrupt, errors and exit status.

mod cancel;
mod check;
mod claim;
mod completions;
mod config;
mod context;
mod doctor;
mod events;
mod explain;
mod grant;
mod init;
mod interrupt;
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
mod test;
mod try_files;
mod watch;
mod worker;

use crate::connected::Connected;
use crate::options::Options;
use clap::{CommandFactory as _, Parser, Subcommand};
use client::Error;
use interrupt::Interrupt;
use std::time::Duration;

/// The exit status after an interrupt by the user. The followed build goes on.
const DETACHED: u8 = 130;

#[derive(Parser)]
#[command(name = "guild", version, about = "Look at builds and steer them", max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Store a credential from the file that somebody issued to you
    Login(login::Login),
    /// Forget a credential
    Logout(login::Logout),
    /// Show what the credential allows
    Whoami(login::Whoami),
    /// List the stored credentials, and choose which one is used
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Show the latest build of this branch, with its jobs by platform
    Status(status::Status),
    /// List builds, the newest first
    List(list::List),
    /// Show one build or job in full
    Show(show::Show),
    /// Say why a job waits and what would change that, or why it ran on its worker
    Explain(explain::Explain),
    /// List the jobs that wait for a worker, in the order of placement
    Queue(queue::Queue),
    /// Show the tests of a branch, and their history
    #[command(subcommand)]
    Test(test::Test),
    /// Watch builds live, without end or until a build ends
    Watch(watch::Watch),
    /// Print logs, exactly as the steps wrote them
    Logs(logs::Logs),
    /// Open the master's pages in a browser
    Open(open::Open),
    /// Ask for a build
    Run(run::Run),
    /// Build the files here as they are, without a commit or a push
    ///
    /// Untracked files go along, and ignored ones do not. The build belongs to no branch: it changes no state, tells nobody, and
    /// leaves out jobs with `side_effects`. The checkout stays as it is.
    Try(try_files::Try),
    /// Make a new build that repeats an old one
    Retry(retry::Retry),
    /// Cancel a build or a job
    ///
    /// A running step gets a signal to end, and a few seconds to do so. Then the steps with `always` run within their own time. A
    /// second cancel ends those steps too, and no other step begins.
    Cancel(cancel::Cancel),
    /// Say that you look after a red job, so that others need not
    Claim(claim::ClaimJob),
    /// Say what is wrong with a pipeline file, or which jobs it makes
    Check(check::Check),
    /// Write a first guild.toml, guessed from the files of the repository
    Init(init::Init),
    /// Look at workers and steer them
    #[command(subcommand)]
    Worker(worker::Worker),
    /// Look at projects and add one
    #[command(subcommand)]
    Project(project::Project),
    /// Compare the master file with what the master runs with, or reload it
    #[command(subcommand)]
    Config(config::Config),
    /// Issue credentials and take them back
    #[command(subcommand)]
    Grant(grant::Grant),
    /// Say what is wrong with this installation, from here to the master, and what to do about it
    Doctor(doctor::Doctor),
    /// Print the master's events
    Events(events::Events),
    /// Tell the master that a repository changed (for a post-receive hook)
    Notify(notify::Notify),
    /// Print a JSON Schema of guild.toml, with which an editor completes and checks it
    Schema(schema::Schema),
    /// Print a shell completion script
    Completions(completions::Completions),
    /// Print the manual page, or write all of them
    Man(completions::Man),
}

/// Runs one command, and returns the exit status.
pub(crate) async fn run(cli: Cli) -> u8 {
    let deadline = cli.options.timeout;
    // Other people may read the files that `init` and `man` write.
    if !matches!(cli.command, Command::Init(_) | Command::Man(_)) {
        ::system::private_file::keep_to_owner();
    }
    let connected = Connected::new(cli.options);
    let mut work = std::pin::pin!(dispatch(cli.command, &connected));
    let mut over = std::pin::pin!(elapse(deadline));
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            () = &mut over => break Err(Error::Timeout(deadline.unwrap_or_default())),
            _ = tokio::signal::ctrl_c() => match interrupt::answer(&connected).await {
                Interrupt::GoOn => {}
                Interrupt::Detach => {
                    connected.printer.note("detached: your request goes on");
                    break Ok(DETACHED);
                }
                Interrupt::Cancel(project, number) => match cancel::by_interrupt(&connected, &project, number).await {
                    Ok(()) => connected.printer.note("cancelled: waiting for its end"),
                    Err(error) => break Err(error),
                },
            },
        }
    };
    match result {
        Ok(status) => status,
        // The reader of our output has seen enough, and closed the pipe.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            connected.printer.complain(&error);
            error.exit_code()
        }
    }
}

async fn dispatch(command: Command, connected: &Connected) -> Result<u8, Error> {
    match command {
        Command::Login(command) => command.run(connected).await,
        Command::Logout(command) => command.run(connected),
        Command::Whoami(command) => command.run(connected).await,
        Command::Context(command) => command.run(connected),
        Command::Status(command) => command.run(connected).await,
        Command::List(command) => command.run(connected).await,
        Command::Show(command) => command.run(connected).await,
        Command::Explain(command) => command.run(connected).await,
        Command::Queue(command) => command.run(connected).await,
        Command::Test(command) => command.run(connected).await,
        Command::Watch(command) => command.run(connected).await,
        Command::Logs(command) => command.run(connected).await,
        Command::Open(command) => command.run(connected).await,
        Command::Run(command) => command.run(connected).await,
        Command::Try(command) => command.run(connected).await,
        Command::Retry(command) => command.run(connected).await,
        Command::Cancel(command) => command.run(connected).await,
        Command::Claim(command) => command.run(connected).await,
        Command::Check(command) => command.run(connected),
        Command::Init(command) => command.run(connected),
        Command::Worker(command) => command.run(connected).await,
        Command::Project(command) => command.run(connected).await,
        Command::Config(command) => command.run(connected).await,
        Command::Grant(command) => command.run(connected).await,
        Command::Doctor(command) => command.run(connected).await,
        Command::Events(command) => command.run(connected).await,
        Command::Notify(command) => command.run(connected).await,
        Command::Schema(command) => command.run(&connected.printer),
        Command::Completions(command) => command.run(&connected.printer, Cli::command()),
        Command::Man(command) => command.run(&connected.printer, Cli::command()),
    }
}

async fn elapse(deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
