//! The help, the shell completions and the manual pages of a program, made from the declaration of its arguments. This module also
//! prints to standard output, whose reader may close it early.

use crate::shown;
use clap::{Command, Parser, Subcommand};
pub use clap_complete::Shell;
use clap_mangen::Man;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The exit status for arguments that make no sense.
const USAGE: u8 = 2;
/// The exit status if help cannot be written.
const FAULT: u8 = 4;

/// Reads the arguments of a program. If they ask for help or make no sense, it prints the help or the error, and returns the exit
/// status.
pub fn arguments<T: Parser>(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<T, u8> {
    T::try_parse_from(words).map_err(|error| {
        if error.use_stderr() {
            let _ = error.print();
            return USAGE;
        }
        match seen(error.print().and_then(|()| io::stdout().flush())) {
            Ok(()) => 0,
            Err(why) => {
                shown::tell(&format!("error: the output cannot be written: {why}"));
                FAULT
            }
        }
    })
}

/// Writes lines to standard output and flushes it. Tabs stay, and characters to which a terminal would react are replaced.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    seen(out.write_all(shown::page(text).as_bytes()).and_then(|()| out.flush()))
}

/// Ignores the error that the reader has closed the output, because the reader has seen enough.
fn seen(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Commands with which a program describes itself. A program flattens them into its own commands.
#[derive(Subcommand)]
pub enum OfItself {
    /// Print a shell completion script
    #[command(hide = true)]
    Completions {
        /// The shell that completes the commands
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page, or write all of them into a directory
    #[command(hide = true)]
    Man {
        /// Write all pages into this directory [default: only the page of the program, to standard output]
        #[arg(long, short, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

impl OfItself {
    /// Returns the text to print, or the reason why a page or the directory cannot be written.
    pub fn tell(&self, program: Command) -> Result<String, String> {
        match self {
            OfItself::Completions { shell } => Ok(completions(program, *shell)),
            OfItself::Man { output: None } => page(program, "1").map_err(|error| error.to_string()),
            OfItself::Man { output: Some(dir) } => match write_all(program, "1", dir) {
                Ok(_) => Ok(String::new()),
                Err(error) => Err(format!("{}: {error}", dir.display())),
            },
        }
    }
}

/// Returns the script that completes this program in a shell.
pub fn completions(mut program: Command, shell: Shell) -> String {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Returns the manual page of a program, as roff. `section` is "1" or begins with it, such as "1guild". So the command `guild worker`
/// and the program `guild-worker` can both have a page.
pub fn page(mut program: Command, section: &str) -> io::Result<String> {
    program.build();
    render(&program, section)
}

/// Writes the pages of a program and of its visible commands into a directory, which it makes. Returns the number of pages.
pub fn write_all(mut program: Command, section: &str, dir: &Path) -> io::Result<usize> {
    program.build();
    std::fs::create_dir_all(dir)?;
    write_below(&program, section, dir)
}

fn write_below(command: &Command, section: &str, dir: &Path) -> io::Result<usize> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    std::fs::write(dir.join(format!("{name}.{section}")), render(command, section)?)?;
    let mut count = 1;
    for inner in shown(command) {
        count += write_below(inner, section, dir)?;
    }
    Ok(count)
}

/// Returns the commands below `command` that get pages. Hidden ones and `help` get none.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
}

fn render(command: &Command, section: &str) -> io::Result<String> {
    let mut roff = Vec::new();
    Man::new(command.clone()).section(section).render(&mut roff)?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}
