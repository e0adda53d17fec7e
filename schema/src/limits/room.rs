//! How large values are as they travel, and how many of a list fit into one answer. A size is never less than what Cap'n
//! Proto writes, and little more.

use super::{ABOUT, ANSWER_BYTES, PAGE};
use crate::values::{Commit, Event, FactField, JobPlan, StepPlan};

/// A word of a message, in bytes.
pub const WORD: usize = 8;

/// The struct `JobView` with its pointers as the schema has it, in bytes.
pub const JOB_VIEW: usize = 13 * WORD;
/// The struct `StepView` with its `Exit` and their pointers as the schema has them, in bytes.
pub const STEP_VIEW: usize = 10 * WORD;
/// The struct `TestsReported` with its hash and without its texts.
pub const TESTS_VIEW: usize = 11 * WORD;

/// A text with its pointer and its final zero, in whole words.
pub const fn text_bytes(text: &str) -> usize {
    WORD + (text.len() / WORD + 1) * WORD
}

/// A list of texts with its pointer.
pub fn listed<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    WORD + texts.into_iter().map(|text| text_bytes(text)).sum::<usize>()
}

/// How many elements of these sizes, the first ones, fit into one answer beside `beside` bytes.
pub fn fitting(beside: usize, sizes: impl IntoIterator<Item = usize>) -> usize {
    let mut left = ANSWER_BYTES.saturating_sub(beside);
    let fits = |size: &usize| match left.checked_sub(*size) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    sizes.into_iter().take_while(fits).count()
}

/// Like [`fitting`], for a list that goes on in further answers. It has at least one element if there is one, since an answer
/// without any would end the list. Whoever asks cuts the lists of each element, so that one has room.
pub fn page(sizes: impl ExactSizeIterator<Item = usize>) -> usize {
    let least = sizes.len().min(1);
    fitting(0, sizes).clamp(least, PAGE.most)
}

/// A job and its steps, as a build shows them, without the reason of its outcome.
pub fn view_bytes(job: &JobPlan) -> usize {
    // The worker that will take the job is not known yet, nor is its platform; the name of the tier has only a few words.
    let worker = 2 * (ABOUT.most + WORD) + 2 * WORD;
    let tests = |step: &StepPlan| if step.reports.is_empty() { 0 } else { TESTS_VIEW };
    let steps: usize = job.steps.iter().map(|step| STEP_VIEW + text_bytes(&step.name) + tests(step)).sum();
    JOB_VIEW + text_bytes(&job.name) + worker + WORD + size_of_val(job.needs.as_slice()) + steps
}

/// The struct `Event` as `schema/guild` has it, with its tag in a list, its numbers and its pointers.
const EVENT: usize = 18 * WORD;
/// The data `origin`, 32 bytes, with its pointer.
const ORIGIN: usize = 5 * WORD;

/// The size of an event as it travels.
pub fn event_bytes(event: &Event) -> usize {
    let mut fields = 0;
    event.fact.each_field(|field| fields += field_bytes(field));
    EVENT + ORIGIN + text_bytes(&event.project) + text_bytes(event.fact.kind()) + fields
}

fn field_bytes(field: FactField<'_>) -> usize {
    match field {
        FactField::Fixed => 0,
        FactField::Text(text) => text_bytes(text),
        FactField::Texts(texts) => listed(texts),
        FactField::Tests(tests) => tests.map_or(0, |_| TEST_COUNTS),
        // The two words are the pointer of the list and the tag of its elements.
        FactField::Commits(commits) => 2 * WORD + commits.iter().map(commit_bytes).sum::<usize>(),
    }
}

/// The bytes of the struct `TestCounts`: four numbers of 4 bytes.
const TEST_COUNTS: usize = 2 * WORD;

/// A commit with its time.
fn commit_bytes(commit: &Commit) -> usize {
    WORD + text_bytes(&commit.revision) + text_bytes(&commit.author) + text_bytes(&commit.subject)
}
