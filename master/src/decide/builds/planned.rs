//! The answer to a build that asked for its plan.

use schema::values::Plan;

/// What became of a plan that was asked for.
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
