//! Runs the work of planning on other threads, because a pipeline that is slow to read must not stop the one thread of the master.
//! Projects take turns. In a simulation the work runs on the calling thread, because a paused clock would jump over other threads.

use crate::keep::turns::{Bounds, QueueLoad, TurnQueue};
use tokio::time::Instant;

/// The most parts of plans that are made at once, in all and for one project. Each may keep a processor busy for a few seconds.
const PLANS: Bounds = Bounds { in_all: 2, each: 1 };

/// The most bytes of a pipeline that is planned on the calling thread, if it has no matrix. That takes a few milliseconds in the worst
/// case, so most builds are planned in the commit that makes them. A backslash may hide a matrix, because TOML lets a key be written with
/// escapes.
const SMALL_MAX: usize = 4 << 10;

/// A first estimate of the work that a pipeline makes.
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

    /// Does one part of a plan when it is the project's turn. Work that has begun runs to its end. `None` means that it panicked.
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
