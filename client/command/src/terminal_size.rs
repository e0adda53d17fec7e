//! The size of the terminal, in characters.

/// The width of a terminal that does not tell its size, in characters.
const WIDTH: usize = 80;
/// The height of a terminal that does not tell its size, in lines.
const HEIGHT: usize = 24;

/// The size of a terminal, in characters and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TerminalSize {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl TerminalSize {
    /// Returns the size of the terminal at standard output, or else at standard error. If neither is a terminal, returns the usual
    /// size.
    pub(crate) fn of_process() -> TerminalSize {
        let of_stdout = rustix::termios::tcgetwinsize(std::io::stdout());
        let size = of_stdout.or_else(|_| rustix::termios::tcgetwinsize(std::io::stderr()));
        let (width, height) = size.map_or((0, 0), |size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        TerminalSize {
            width: if width == 0 { WIDTH } else { width },
            height: if height == 0 { HEIGHT } else { height },
        }
    }
}
