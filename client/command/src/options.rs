//! The options that every command takes, and the form of a time on the command line.

use clap::Args;
use schema::values::TimeSpan;
use std::path::PathBuf;
use std::time::Duration;

/// The options that every command has.
#[derive(Args)]
pub(crate) struct Options {
    /// Use this credential file instead of a context
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cap: Option<PathBuf>,
    /// Use this context
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Print JSON Lines; `--json=a,b` prints only these fields
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "FIELDS")]
    pub(crate) json: Option<String>,
    /// Show only these columns, in this order; each field of --json can be a column
    #[arg(long, global = true, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) columns: Vec<String>,
    /// Print no headers above a table
    #[arg(long, global = true)]
    pub(crate) no_headers: bool,
    /// Exit with 1 if the build that is shown failed, 3 if it was cancelled, 4 if it errored
    #[arg(long, global = true)]
    pub(crate) exit_status: bool,
    /// Give up after this time (30s, 5m, 1h) with status 8
    #[arg(long, global = true, value_parser = parse_duration, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
}

/// Reads a time such as `90s`, `5m`, `1h30m` or `7d`. A bare number is in seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let span = if is_bare { TimeSpan::parse(&format!("{text}s")) } else { TimeSpan::parse(text) };
    span.map(|span| span.0)
        .ok_or_else(|| format!("`{text}` is not a duration: write 90s, 5m, 1h30m or 7d, at most 100y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(parse_duration("90").unwrap(), Duration::from_secs(90));
        assert_eq!(parse_duration("2h").unwrap(), Duration::from_secs(7_200));
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("3weeks").is_err());
        assert!(parse_duration("99999999999999999999d").is_err());
    }
}
