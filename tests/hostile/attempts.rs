//! A worker that lies: before it accepts, after it gave back, about steps that its plan does not have.
