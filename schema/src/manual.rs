//! What a program tells a person, a shell and `man` of itself, made from its arguments as they are declared. It also prints to
//! standard output, whose reader may go away.

use crate::shown;
use clap::{Command, Parser, Subcommand};
pub use clap_complete::Shell;
use clap_mangen::Man;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The exit statuses of arguments that make no sense, and of help that cannot be written.
const USAGE: u8 = 2;
const FAULT: u8 = 4;

/// The arguments of a program. Where they ask for help or make no sense, that is printed, and the exit status answered.
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

/// Writes lines to standard output, now: with their tabs, and with nothing that a terminal would take up.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    seen(out.write_all(shown::page(text).as_bytes()).and_then(|()| out.flush()))
}

/// A reader that went away has seen enough.
fn seen(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Commands of a program that tell of itself; to be flattened into its own.
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
    /// What to print; or why the directory cannot be written.
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

/// The script that completes this program in a shell.
pub fn completions(mut program: Command, shell: Shell) -> String {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The page of a program, as roff. `section`: "1", or one that begins with it, as "1guild": so `guild worker` and the program
/// `guild-worker` have pages beside each other.
pub fn page(mut program: Command, section: &str) -> io::Result<String> {
    program.build();
    render(&program, section)
}

/// Writes the pages of a program and of all its commands that are not hidden into a directory, which is made; answers how
/// many.
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

/// The commands below this one that get pages. Hidden ones and `help` get none.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
}

fn render(command: &Command, section: &str) -> io::Result<String> {
    let mut roff = Vec::new();
    Man::new(command.clone()).section(section).render(&mut roff)?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}
