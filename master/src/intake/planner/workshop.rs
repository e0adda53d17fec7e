//! Where plans are made: on other threads, since the one thread shall not stand still for a file that is hard to read. Projects
//! have their turns. In a simulation they are made where they are asked for, as a paused clock jumps over work on other threads.

use crate::keep::turns::{Bounds, QueueLoad, TurnQueue};
use tokio::time::Instant;

/// How many plans are made at once, and how many of one project. Each may keep a processor busy for a few seconds.
const PLANS: Bounds = Bounds { in_all: 2, each: 1 };

/// A pipeline up to this size, in bytes, is planned where it is asked for, if it has no matrix. That takes a few milliseconds in
/// the worst case, and most builds are then planned in the commit that makes them. A key may be written with escapes, so a
/// pipeline that has a backslash may have a matrix.
const SMALL_MAX: usize = 4 << 10;

/// How much work a pipeline may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkSize {
    Small,
    Unknown,
}

impl WorkSize {
    pub(super) fn of(text: &[u8]) -> WorkSize {
        const MATRIX: &[u8] = b"matrix";
        let may_have_matrix = text.contains(&b'\\') || text.windows(MATRIX.len()).any(|part| part == MATRIX);
        let is_small = text.len() <= SMALL_MAX && !may_have_matrix;
        if is_small { WorkSize::Small } else { WorkSize::Unknown }
    }
}

pub struct Workshop {
    turns: TurnQueue<String>,
    is_inline: bool,
}

impl Workshop {
    pub fn new(is_inline: bool) -> Workshop {
        Workshop { turns: TurnQueue::new(PLANS), is_inline }
    }

    pub fn counts(&self) -> QueueLoad {
        self.turns.counts()
    }

    /// Does a part of a plan when it is the project's turn. What was begun is done to its end. `None` means that it broke down.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        project: &str,
        size: WorkSize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_inline || size == WorkSize::Small {
            return Some(work());
        }
        let mut turn = self.turns.turn(project.to_owned()).await;
        let working = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let done = work();
            turn.charge(began.elapsed());
            done
        });
        working.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_has_no_matrix() {
        let text = vec![b' '; SMALL_MAX - 6];
        assert_eq!(WorkSize::of(&text), WorkSize::Small);
        assert_eq!(WorkSize::of(&[&text[..], b"matrix"].concat()), WorkSize::Unknown);
        assert_eq!(WorkSize::of(&[&text[..], b"1234567"].concat()), WorkSize::Unknown);
        // TOML reads this key as `matrix`
        assert_eq!(WorkSize::of(br#"[job.a."m\u0061trix"]"#), WorkSize::Unknown);
    }
}
