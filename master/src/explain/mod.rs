//! What people are told of the state of things: why a job waits, what would change that, and how the installation fares. Reads only.

pub mod doctor;
