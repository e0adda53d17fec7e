//! A writer for the bytes of logs: exact for a program, and harmless for a terminal.

use schema::shown::Screen;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Passes the bytes of logs on to a writer. A program gets all of them, and a terminal only what it can show without harm.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tokio::io::AsyncWriteExt as _;
///
/// let mut shown = Vec::new();
/// let mut screened = client::screen::Screened::for_terminal(&mut shown);
/// screened.write_all(b"clears \x1b[2J nothing\n").await?;
/// screened.finish().await?;
/// assert!(!shown.contains(&0x1b));
/// # Ok(())
/// # }
/// ```
pub struct Screened<W> {
    to: W,
    /// The screen for a terminal. `None` means that every byte passes.
    screen: Option<Screen>,
    /// The text that is not written yet, which is at most the text of one write.
    waiting: Vec<u8>,
}

impl<W: AsyncWrite + Unpin> Screened<W> {
    /// Makes a writer that passes colours, tabs and line ends to a terminal, and no other control characters.
    pub fn for_terminal(to: W) -> Screened<W> {
        Screened { to, screen: Some(Screen::new()), waiting: Vec::new() }
    }

    /// Makes a writer that passes every byte, for a program.
    pub fn exact(to: W) -> Screened<W> {
        Screened { to, screen: None, waiting: Vec::new() }
    }

    /// Ends the output: writes the rest of it, and restores the terminal's own colours.
    ///
    /// # Errors
    /// The errors of the writer.
    pub async fn finish(mut self) -> io::Result<()> {
        let left = self.screen.as_mut().map(Screen::finish).unwrap_or_default();
        self.waiting.extend_from_slice(left.as_bytes());
        self.flush().await
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.to).poll_write(context, &self.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => drop(self.waiting.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Screened<W> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        let Some(screen) = &mut self.screen else { return Pin::new(&mut self.to).poll_write(context, bytes) };
        let shown = screen.push(bytes);
        self.waiting.extend_from_slice(shown.as_bytes());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.to).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.to).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(mut out: Screened<&mut Vec<u8>>, pieces: &[&[u8]]) {
        for piece in pieces {
            out.write_all(piece).await.unwrap();
        }
        out.finish().await.unwrap();
    }

    #[tokio::test]
    async fn a_terminal_gets_colours_and_a_program_every_byte() {
        let pieces: [&[u8]; 4] = [b"a\x1b]52;c;UF", b"dO\x07\x1b[3", b"1mred\xe2\x80", b"\xae\n"];
        let (mut shown, mut exact) = (Vec::new(), Vec::new());
        written(Screened::for_terminal(&mut shown), &pieces).await;
        written(Screened::exact(&mut exact), &pieces).await;
        assert_eq!(String::from_utf8(shown).unwrap(), "a\x1b[31mred⟨U+202E⟩\n\x1b[0m");
        assert_eq!(exact, pieces.concat());
    }
}
