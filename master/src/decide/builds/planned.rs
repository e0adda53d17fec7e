//! The answer to the request for the plan of a build.

use schema::values::Plan;

/// The result of a request for a plan.
#[derive(Clone, Debug)]
pub enum Planned {
    Plan(Plan),
    /// The pipeline does not build this ref, for this reason.
    Skip(String),
    /// The pipeline cannot be read. The text is the diagnosis.
    Broken(String),
    /// The repository cannot be read. The text says why.
    Trouble(String),
}
