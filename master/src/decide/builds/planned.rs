//! The answer to a build that asked for its plan.

use schema::values::Plan;

/// The result of a request for a plan.
#[derive(Clone, Debug)]
pub enum Planned {
    Plan(Plan),
    /// The pipeline does not build this ref, for this reason.
    Skip(String),
    /// The pipeline cannot be read; the text is the diagnosis.
    Broken(String),
    /// The repository cannot be read; the text says why.
    Trouble(String),
}
