//! What `guild.toml` may hold. What the pipeline makes of it is bounded in the table of [`schema::limits`] too, where it
//! travels.

use schema::limits::borders::{PATTERN_LETTERS, PIPELINE_JOBS};
use schema::limits::{CRON_TEXT, STEPS};

/// The jobs of a pipeline, before and after its matrices: what one page and one answer can show.
pub const JOBS_MAX: usize = PIPELINE_JOBS.count();
/// The steps of a job.
pub const STEPS_MAX: usize = STEPS.most;
/// The reports of a step, each a pattern: a step that needs more writes them into one folder.
pub const REPORTS_MAX: usize = 20;
/// The cells of one matrix, and the values of one axis: as many as jobs.
pub const CELLS_MAX: usize = 1_000;
/// The axes of a matrix: each is a part of the name of a job.
pub const AXES_MAX: usize = 16;
/// The tables of `skip` or `only`: each is compared with each cell.
pub const RULES_MAX: usize = 100;
/// The needs between all jobs of a plan: two stages of 300 cells have 90,000.
pub const NEEDS_MAX: usize = 100_000;
/// The bytes of all jobs of a plan in memory: a small file with a large matrix must not fill the memory.
pub const PLAN_MAX: usize = 16 << 20;
/// The bytes of a script, of one argument, and of one variable with its name. Linux takes 131,072 with the byte that ends it
/// (`MAX_ARG_STRLEN`, execve(2)).
pub const ARGUMENT_MAX: usize = 131_071;
/// The cores that a job may reserve.
pub const CPUS_MAX: f64 = 1024.0;
/// Further attempts of a job after a lost worker.
pub const RETRY_INFRA_MAX: i64 = 10;
/// The elements of one `want`.
pub const WANTS_MAX: usize = 100;
/// The variables of one `env`.
pub const ENV_MAX: usize = 500;
/// The distance of a priority from zero.
pub const PRIORITY_MAX: i64 = 1_000_000;
/// The patterns of one key.
pub const PATTERNS_MAX: usize = 1_000;
/// The characters of a pattern: a longer one costs too much to compile.
pub const PATTERN_MAX: usize = 1_000;
/// The characters of all patterns of a file: to match as many with 1,000 paths takes half a second.
pub const PATTERNS_TEXT_MAX: usize = PATTERN_LETTERS.count();
/// The entries of `[trigger.cron]`: to find out that a time never comes takes a few milliseconds each.
pub const CRONS_MAX: usize = 20;
/// The bytes of one text of `[trigger.cron.NAME]`: a branch has at most 255 of them on the usual file systems.
pub const CRON_TEXT_MAX: usize = CRON_TEXT.most;
