//! What an interrupt by the user means: the command ends and the build goes on, or the user is asked.

use crate::connected::{Connected, can_be_asked};
use crate::output;

/// What the user wants after an interrupt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// The command ends, and the build goes on.
    Detach,
    /// The build of this project with this number is cancelled, and the command waits for its end.
    Cancel(String, u32),
    /// The command goes on as if nothing had happened.
    GoOn,
}

/// Returns what an interrupt means. It is asked on a terminal if the command follows a build of its own that only this user needs.
/// Another interrupt is an answer too.
pub(super) async fn answer(connected: &Connected) -> Interrupt {
    let Some((project, number)) = connected.followed().filter(|_| can_be_asked()) else { return Interrupt::Detach };
    connected.printer.note("");
    output::ask("cancel the build (c), detach and let it go on (d), or keep waiting (w)? ");
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line).unwrap_or_default()
    });
    tokio::select! {
        line = line => meaning(&line.unwrap_or_default(), project, number),
        _ = tokio::signal::ctrl_c() => Interrupt::Detach,
    }
}

/// Returns what the typed line means. The end of the input, which is an empty line, detaches.
fn meaning(line: &str, project: String, number: u32) -> Interrupt {
    match line.trim() {
        "c" | "cancel" => Interrupt::Cancel(project, number),
        "w" | "wait" => Interrupt::GoOn,
        "d" | "detach" => Interrupt::Detach,
        "" if line.is_empty() => Interrupt::Detach,
        _ => Interrupt::GoOn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_letter_or_a_word() {
        let of = |line: &str| meaning(line, "p".to_owned(), 7);
        assert_eq!([of("c\n"), of("cancel\n")], [(); 2].map(|()| Interrupt::Cancel("p".to_owned(), 7)));
        assert_eq!([of("d\n"), of("")], [Interrupt::Detach, Interrupt::Detach]);
        assert_eq!([of("w\n"), of("\n"), of("what?\n")], [Interrupt::GoOn, Interrupt::GoOn, Interrupt::GoOn]);
    }
}
