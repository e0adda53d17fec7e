//! The processes of steps: what surrounds them, what keeps them apart, who supervises them, and how this worker holds on to
//! their supervisors. Also the world around them that a simulation replaces. Knows what to run, and not what comes next.

pub(crate) mod environment;
pub(crate) mod isolation;
pub(crate) mod open_files;
pub(crate) mod spawner;
pub(crate) mod supervised;
pub mod supervisor;
pub mod world;
