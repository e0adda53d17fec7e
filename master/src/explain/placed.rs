//! Says in words why an attempt was placed on its worker.

use super::project_of;
use crate::decide::coordinator::placed::{Because, FREE_COUNTED, Opening, Placed};

/// Removes the name of a job that the reader may not see. `sees` takes the name of a project, and says whether the reader may see it.
pub fn hide_placed(placed: &mut Placed, sees: impl Fn(&str) -> bool) {
    if let Some(Opening::Freed(job)) = &mut placed.waited_for
        && !sees(project_of(job))
    {
        job.clear();
    }
}

/// The reason as a text for people, which follows the worker's name.
pub fn placed_text(placed: &Placed) -> String {
    let able = placed.able;
    let free = match placed.free as usize >= FREE_COUNTED {
        true => format!("{} or more", placed.free),
        false => placed.free.to_string(),
    };
    match placed.because {
        Because::Only => "the only connected worker that could take it".to_owned(),
        Because::Asked => format!("it asked for work, as one of {able} that could take the job"),
        Because::OnlyFree => format!("the only one with room of {able} that could take it"),
        Because::ConnectedLongest => format!("connected the longest of {free} free workers; {able} are suitable"),
    }
}

/// The event that the job waited for last, in words. Empty means that it did not wait.
pub fn waited_text(placed: &Placed, worker: &str) -> String {
    match &placed.waited_for {
        None => String::new(),
        Some(Opening::Connected) => format!("{worker} to connect"),
        Some(Opening::Resumed) => format!("{worker} to be resumed"),
        Some(Opening::Freed(job)) if job.is_empty() => format!("{worker} to end a job of another project"),
        Some(Opening::Freed(job)) => format!("{worker} to end {job}"),
        Some(Opening::Asked) => format!("{worker} to ask for work"),
    }
}
