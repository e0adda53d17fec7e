//! Reads what the system says about this process (proc_pid_stat(5), proc_pid_status(5)).

/// The ticks of processor time in a second. Linux uses this unit in its reports on every machine (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// `ProcessNumbers` holds the numbers of one look.
pub(super) struct ProcessNumbers {
    /// The processor time of this process, in user and system mode together.
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
}

/// Looks at the files of the system. `None` means that they are missing or have another form.
pub(super) fn look() -> Option<ProcessNumbers> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(ProcessNumbers {
        cpu_seconds: ticks(&read("stat")?)? as f64 / TICKS_PER_SECOND,
        resident_bytes: resident(&read("status")?)?,
        // one of them is the directory that this look has open
        open_files: u64::try_from(open.saturating_sub(1)).unwrap_or(u64::MAX),
    })
}

/// Returns the processor time in ticks. The program's name may contain anything, and ends at the last parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(field(14)? + field(15)?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_confuses_nobody() {
        assert_eq!(ticks("7 (a) b) R 1 7 7 0 -1 4194304 5 0 0 0 12 30 0 0 20 0 1 0 99"), Some(42));
        assert_eq!((ticks("7 (a"), resident("Name:\tx\nVmRSS:\t     250 kB\n")), (None, Some(256_000)));
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let seen = look().unwrap();
        assert!(seen.resident_bytes > 0 && seen.open_files > 0 && seen.cpu_seconds >= 0.0);
    }
}
