//! The processes of steps: their environment, their isolation, their supervisors, and the worker's connection to the supervisors.
//! Also holds the world around them, which a simulation replaces. It knows what to run, and not what comes next.

pub(crate) mod environment;
pub(crate) mod isolation;
pub(crate) mod open_files;
pub(crate) mod spawner;
pub(crate) mod supervised;
pub mod supervisor;
pub mod world;
