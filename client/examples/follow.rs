//! Lists the newest builds of a project, then follows the newest one to its end: `cargo run -p client --example follow PROJECT`.
//!
//! It asks the master that `guild` would ask in this directory, with the credential that `guild login` stored.

use client::context::Contexts;
use client::screen::Screened;
use client::{BuildQuery, Error, Follow, Guild, Progress, words};
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use tokio::io::{AsyncWriteExt as _, Stdout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(project) = std::env::args().nth(1) else {
        eprintln!("name a project");
        return ExitCode::from(2);
    };
    // The capabilities of a link live on one thread.
    match tokio::task::LocalSet::new().run_until(show(&project)).await {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error}\nhelp: {}", error.way_out());
            ExitCode::from(error.exit_code())
        }
    }
}

async fn show(project: &str) -> Result<u8, Error> {
    let (credential, identity) = Contexts::of_user()?.choose(None, None, Path::new("."))?.open()?;
    let guild = Guild::connect(credential, identity).await?;
    let query = BuildQuery { project: project.to_owned(), limit: 5, ..BuildQuery::default() };
    let builds = guild.builds(&query).await?;
    let mut out = terminal_or_pipe();
    for build in &builds {
        let status = words::status_word(build.state, build.outcome);
        let line = format!("{}  {status}  {}  {}\n", build.selector(), build.short_ref(), build.subject);
        out.write_all(line.as_bytes()).await.map_err(Error::Output)?;
    }
    let Some(newest) = builds.first() else { return Err(Error::not_found("there is no build yet")) };
    let outcome = Follow::new(&guild, project, newest.number)
        .on_progress(|progress| {
            if let Progress::StepStarts { job, step, .. } = progress {
                eprintln!("== {job}, step {step}");
            }
        })
        .run(&mut out)
        .await?;
    out.finish().await.map_err(Error::Output)?;
    Ok(u8::try_from(outcome.exit_code()).unwrap_or(4))
}

/// Returns a writer to standard output. Text from other people must not control a terminal, and a program wants every byte.
fn terminal_or_pipe() -> Screened<Stdout> {
    match std::io::stdout().is_terminal() {
        true => Screened::for_terminal(tokio::io::stdout()),
        false => Screened::exact(tokio::io::stdout()),
    }
}
