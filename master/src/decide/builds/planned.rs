//! The answer to a build that asked for its plan.

use schema::values::Plan;

/// The result of a request for a plan.
#[derive(Clone, Debug)]
pub enum Planned {
    Plan(Plan),
    /// The pipeline does not want this ref.
    Skip(String),
    /// The pipeline cannot be read: the diagnosis.
    Broken(String),
    /// The repository cannot be read.
    Trouble(String),
}
