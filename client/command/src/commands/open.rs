//! `guild open` shows the master's pages in a browser.

use crate::connected::Connected;
use crate::resolve::{Meant, Wish};
use clap::Args;
use client::Error;
use std::process::{Command, Stdio};

/// The programs that open an address on a desktop. The first that is installed is used.
const OPENERS: [&str; 3] = ["xdg-open", "open", "wslview"];

#[derive(Args)]
pub(crate) struct Open {
    /// The project, build, job or step whose page to open [default: the project here]
    selector: Option<String>,
    /// Open an address that logs the browser in; its button works once, within 10 minutes
    #[arg(long, conflicts_with = "selector")]
    login: bool,
    /// Print the address, and open nothing
    #[arg(long)]
    print: bool,
}

impl Open {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        if self.login {
            // Everyone who has the address can log in, so it is printed. It never becomes an argument, which other users could see.
            connected.printer.say(connected.guild().await?.browse().await?)?;
            connected.printer.note("its button works once, within 10 minutes");
            return Ok(0);
        }
        let address = self.page(connected).await?;
        match !self.print && connected.printer.look.terminal && show(&address) {
            true => connected.printer.note(format!("opened {address}")),
            false => connected.printer.say(address)?,
        }
        Ok(0)
    }

    async fn page(&self, connected: &Connected) -> Result<String, Error> {
        let pages = connected.guild().await?.whoami().await?.pages;
        if pages.is_empty() {
            return Err(Error::not_found("this master serves no pages")
                .help("an operator sets their address in the master file: web = \"127.0.0.1:8080\" in [listen]"));
        }
        let meant = connected.meant(self.selector.as_deref(), Wish::Scope).await?;
        let Some(found) = &meant.build else {
            let project = meant.project.map_or_else(String::new, |project| format!("p/{project}"));
            return Ok(format!("{pages}/{project}"));
        };
        let build = connected.guild().await?.build(&found.project, found.number).await?;
        let chosen: Vec<&str> =
            build.jobs.iter().map(|job| job.name.as_str()).filter(|name| meant.chooses(name)).collect();
        let job = match (&meant.job, chosen.as_slice()) {
            (Some(_), [job]) => format!("/{job}{}", place(&meant)),
            // If several cells are meant, the build's page shows all of them.
            _ => String::new(),
        };
        Ok(format!("{pages}/p/{}{job}", build.selector()))
    }
}

/// Returns the end of an address, with the step and the lines.
fn place(meant: &Meant) -> String {
    let step = meant.step.map_or_else(String::new, |step| format!("/{step}"));
    let lines = meant.lines.map_or_else(String::new, |(first, _)| format!("?first={first}#L{first}"));
    format!("{step}{lines}")
}

/// Opens the address, and returns whether a program accepted it.
fn show(address: &str) -> bool {
    let has_desktop = std::env::var_os("DISPLAY").is_some() || std::env::var_os("WAYLAND_DISPLAY").is_some();
    let may_show = has_desktop || cfg!(target_os = "macos");
    may_show
        && OPENERS.iter().any(|opener| {
            let mut command = Command::new(opener);
            command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        })
}
