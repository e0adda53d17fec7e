//! Computes how many bytes values take on the wire, and how many elements of a list fit into one answer. A size is never less than
//! the bytes that Cap'n Proto writes, and only a little more.

use super::{ABOUT, ANSWER_BYTES, PAGE};
use crate::values::{Commit, Event, FactField, JobPlan, StepPlan};

/// The bytes of a word, the unit in which Cap'n Proto measures messages.
pub const WORD: usize = 8;

/// The bytes of the struct `JobView` of the schema with its pointers.
pub const JOB_VIEW: usize = 13 * WORD;
/// The bytes of the struct `StepView` of the schema with its `Exit` and their pointers.
pub const STEP_VIEW: usize = 10 * WORD;
/// The bytes of the struct `TestsReported` with its hash and without its texts.
pub const TESTS_VIEW: usize = 11 * WORD;

/// Returns the bytes of a text with its pointer and its final zero, rounded up to whole words.
pub const fn text_bytes(text: &str) -> usize {
    WORD + (text.len() / WORD + 1) * WORD
}

/// Returns the bytes of a list of texts with its pointer.
pub fn listed<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    WORD + texts.into_iter().map(|text| text_bytes(text)).sum::<usize>()
}

/// Returns how many of the first elements fit into one answer beside `beside` other bytes. `sizes` are the elements' bytes.
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

/// Works like [`fitting`] for a list that continues in further answers. The result is at least 1 if there is an element, because an
/// empty answer would end the list. The caller cuts the lists within each element, so that one element always fits.
pub fn page(sizes: impl ExactSizeIterator<Item = usize>) -> usize {
    let least = sizes.len().min(1);
    fitting(0, sizes).clamp(least, PAGE.most)
}

/// Returns the bytes of a job and its steps as a build shows them, without the reason of the job's outcome.
pub fn view_bytes(job: &JobPlan) -> usize {
    // The worker that will take the job is not known yet, so its name and its platform count with their largest sizes. The name of
    // the tier takes two words.
    let worker = 2 * (ABOUT.most + WORD) + 2 * WORD;
    let tests = |step: &StepPlan| if step.reports.is_empty() { 0 } else { TESTS_VIEW };
    let steps: usize = job.steps.iter().map(|step| STEP_VIEW + text_bytes(&step.name) + tests(step)).sum();
    JOB_VIEW + text_bytes(&job.name) + worker + WORD + size_of_val(job.needs.as_slice()) + steps
}

/// The bytes of the struct `Event` of the schema, with its tag in a list, its numbers and its pointers.
const EVENT: usize = 18 * WORD;
/// The bytes of the field `origin`, 32 bytes of data with their pointer.
const ORIGIN: usize = 5 * WORD;

/// Returns the bytes of an event on the wire.
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

/// Returns the bytes of a commit with its time.
fn commit_bytes(commit: &Commit) -> usize {
    WORD + text_bytes(&commit.revision) + text_bytes(&commit.author) + text_bytes(&commit.subject)
}
