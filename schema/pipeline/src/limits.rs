//! The limits of `guild.toml`. The plans that are made of it are also bounded on the wire, by the table in [`schema::limits`].

use schema::limits::borders::{PATTERN_LETTERS, PIPELINE_JOBS};
use schema::limits::{CRON_TEXT, STEPS};

/// The most jobs of a pipeline, before and after its matrices. One page and one answer can show this many.
pub const JOBS_MAX: usize = PIPELINE_JOBS.count();
/// The most steps of a job, as the list of steps on the wire bounds them.
pub const STEPS_MAX: usize = STEPS.most;
/// The most reports of a step, each of which is a pattern. A step with more reports can write them into one folder.
pub const REPORTS_MAX: usize = 20;
/// The most cells of one matrix, and the most values of one axis. A pipeline has at most as many jobs.
pub const CELLS_MAX: usize = 1_000;
/// The most axes of a matrix. They are few, because each is a part of the job's name.
pub const AXES_MAX: usize = 16;
/// The most tables of `skip` or `only`. Each is compared with each cell, so their number bounds that work.
pub const RULES_MAX: usize = 100;
/// The most needs between all jobs of a plan. Two stages of 300 cells have 90,000.
pub const NEEDS_MAX: usize = 100_000;
/// The most bytes of all jobs of a plan in memory, so that a small file with a large matrix cannot fill the memory.
pub const PLAN_MAX: usize = 16 << 20;
/// The most bytes of a script, of one argument, and of one variable with its name. Linux accepts 131,072 bytes, which include the
/// final zero (`MAX_ARG_STRLEN`, execve(2)).
pub const ARGUMENT_MAX: usize = 131_071;
/// The most cores that a job may reserve, which is more than usual machines have.
pub const CPUS_MAX: f64 = 1024.0;
/// The most further attempts of a job after lost workers. With more, a job that kills its workers would go on for too long.
pub const RETRY_INFRA_MAX: i64 = 10;
/// The most elements of one `want`. A worker has at most 100 labels of its own.
pub const WANTS_MAX: usize = 100;
/// The most variables of one `env`, which is more than anybody writes by hand.
pub const ENV_MAX: usize = 500;
/// The largest distance of a priority from zero. It leaves room for any order of jobs.
pub const PRIORITY_MAX: i64 = 1_000_000;
/// The most patterns of one key, which is more than anybody writes by hand.
pub const PATTERNS_MAX: usize = 1_000;
/// The most characters of a pattern. A longer one costs too much to compile.
pub const PATTERN_MAX: usize = 1_000;
/// The most characters of all patterns of a file. Matching this many with 1,000 paths takes half a second.
pub const PATTERNS_TEXT_MAX: usize = PATTERN_LETTERS.count();
/// The most entries of `[trigger.cron]`. For each it takes a few milliseconds to find out that its time never comes.
pub const CRONS_MAX: usize = 20;
/// The most bytes of one text of `[trigger.cron.NAME]`. The name of a branch has at most 255 bytes on the usual file systems.
pub const CRON_TEXT_MAX: usize = CRON_TEXT.most;
