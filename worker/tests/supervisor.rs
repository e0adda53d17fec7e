//! The supervisor as a real process: what it stores, which processes it ends, and that it outlives its worker.
#![expect(clippy::unwrap_used, reason = "a test")]

use schema::values::{Exit, Tier};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};
use worker::supervisor::{Journal, KillCause, Limits, Moment, Order, StepFiles, SupervisorForker, connect, prepare};

const PROGRAM: &str = env!("CARGO_BIN_EXE_guild-worker");
const LONG_MS: u64 = 100_000;
/// The longest wait of a test. It is far more than a slow machine needs, so only a test that hangs reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Step {
    dir: tempfile::TempDir,
    order: Order,
}

struct Running<'a> {
    step: &'a Step,
    supervisor: Child,
    line: Option<BufReader<UnixStream>>,
}

fn sh(script: &str) -> Step {
    exec(&["/bin/sh", "-eu", "-c", script])
}

fn exec(argv: &[&str]) -> Step {
    let dir = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    let order = Order {
        argv: argv.iter().map(|word| word.to_string()).collect(),
        env: vec![("PATH".to_owned(), path), ("HERE".to_owned(), dir.path().display().to_string())],
        dir: dir.path().to_owned(),
        tier: Tier::Guard,
        limits: Limits {
            step_ms: 0,
            idle_ms: 0,
            attempt_ms: LONG_MS,
            lease_ms: LONG_MS,
            lease_end: 0,
            margin_ms: 1_000,
            orphan_ms: LONG_MS,
            grace_ms: 300,
            output_max: u64::MAX,
            processes_max: 0,
            memory_max: 0,
            files_max: 0,
        },
        notes: Vec::new(),
    };
    Step { dir, order }
}

impl Step {
    fn limit(mut self, change: impl FnOnce(&mut Limits)) -> Step {
        change(&mut self.order.limits);
        self
    }

    fn start(&self) -> Running<'_> {
        let prepared = prepare(self.dir.path(), 0, &self.order).unwrap();
        let supervisor = prepared.command(Path::new(PROGRAM)).unwrap().spawn().unwrap();
        let line = prepared.line();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        Running { step: self, supervisor, line: Some(BufReader::new(line)) }
    }

    fn files(&self) -> StepFiles {
        StepFiles::new(self.dir.path(), 0)
    }

    fn run(&self) -> Journal {
        self.start().end()
    }

    fn log(&self) -> Vec<u8> {
        std::fs::read(self.files().spool()).unwrap_or_default()
    }

    fn text(&self) -> String {
        String::from_utf8(self.log()).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits until the step has written a pid into this file, and returns it.
    fn pid_in(&self, name: &str) -> i32 {
        let path = self.file(name);
        eventually(|| std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
        std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }
}

impl Running<'_> {
    fn say(&mut self, line: &str) {
        writeln!(self.line.as_mut().unwrap().get_mut(), "{line}").unwrap();
    }

    /// Waits until the spool has at least this many bytes.
    fn output(&mut self, least: u64) {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.line.as_mut().unwrap().read_line(&mut line).unwrap() > 0, "it went away");
            if line.trim().strip_prefix("output ").is_some_and(|size| size.parse::<u64>().unwrap() >= least) {
                return;
            }
        }
    }

    fn end(mut self) -> Journal {
        if let Some(line) = self.line.take() {
            let last = line.lines().map_while(Result::ok).last();
            assert_eq!(last.as_deref(), Some("exited"));
        }
        assert!(self.supervisor.wait().unwrap().success());
        let journal = self.step.files().read_journal().unwrap().unwrap();
        assert_eq!(journal.size, self.step.log().len() as u64);
        assert!(!self.step.files().is_supervised().unwrap());
        assert!(connect(self.step.dir.path(), 0).is_err(), "nobody listens any more");
        journal
    }
}

fn eventually(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it did not come to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| state != 'Z')
}

#[test]
fn exit_codes_and_signals() {
    for (script, exit) in [("true", Exit::Code(0)), ("exit 37", Exit::Code(37)), ("kill -SEGV $$", Exit::Signal(11))] {
        let journal = sh(script).run();
        assert_eq!((journal.cause, journal.exit), (KillCause::Ended, exit), "{script}");
    }
}

#[test]
fn what_cannot_start_says_so_in_its_log() {
    let step = exec(&["no-such-program-here"]);
    let journal = step.run();
    assert!(matches!(journal.cause, KillCause::Impossible(_)), "{journal:?}");
    assert!(String::from_utf8(step.log()).unwrap().contains("no-such-program-here"));

    let mut step = sh("true");
    step.order.dir = step.file("gone");
    assert!(matches!(step.run().exit, Exit::Lost(why) if why.contains("no directory")));
}

#[test]
fn both_outputs_keep_their_order_and_the_environment_is_what_was_given() {
    let step = sh("for i in 1 2 3; do echo out $i; echo err $i >&2; done; cat; env | sort; ls /proc/self/fd | wc -l");
    step.run();
    let log = String::from_utf8(step.log()).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..6], ["out 1", "err 1", "out 2", "err 2", "out 3", "err 3"]);
    let names: Vec<&str> = lines[6..lines.len() - 1].iter().map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(names, ["HERE", "PATH", "PWD"], "{log}");
    // these are the three standard descriptors, and the one of the listing
    assert_eq!(lines.last().unwrap().trim(), "4");
}

#[test]
fn a_step_knows_nothing_of_who_started_its_worker() {
    let show = "grep -E 'Sig(Ign|Blk)' /proc/self/status; umask; ulimit -Sn; ulimit -Ss; for s in HUP QUIT INT USR2 ALRM PIPE; do \
                sh -c \"kill -$s \\$\\$; echo alive $s\" 2>/dev/null || true; done";
    let step = sh(show);
    // this is how `nohup`, a script's `&`, a careful administrator and a limited shell change a process
    let origin = step.file("origin");
    let script = "#!/bin/sh\ntrap '' HUP QUIT INT USR2 ALRM\numask 077\nulimit -Sn 100\nulimit -Ss 1000\nexec \"$PROGRAM\" \"$@\"\n";
    std::fs::write(&origin, script).unwrap();
    std::fs::set_permissions(&origin, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let prepared = prepare(step.dir.path(), 0, &step.order).unwrap();
    let mut command = prepared.command(&origin).unwrap();
    let supervisor = command.env("PROGRAM", PROGRAM).spawn().unwrap();
    let line = prepared.line();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(command);
    let journal = Running { step: &step, supervisor, line: Some(BufReader::new(line)) }.end();
    assert_eq!(journal.exit, Exit::Code(0));
    let log = step.text();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..2], ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"], "{log}");
    assert_eq!(lines[2], "0022", "{log}");
    let least = |text: &str, usual: u64| text == "unlimited" || text.parse::<u64>().unwrap() >= usual;
    let hard = |what: &str| {
        let asked = std::process::Command::new("/bin/sh").args(["-c", &format!("ulimit -H{what}")]).output().unwrap();
        String::from_utf8(asked.stdout).unwrap().trim().parse().unwrap_or(u64::MAX)
    };
    assert!(least(lines[3], hard("n").min(1024)) && least(lines[4], hard("s").min(8192)), "{log}");
    assert_eq!(lines.len(), 5, "{log}");
}

#[test]
fn the_files_of_a_step_are_bounded() {
    let step = sh("ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Sc $(ulimit -Hc) && echo asked");
    step.run();
    let log = step.text();
    let lines: Vec<&str> = log.lines().collect();
    let hard: u64 = lines[1].parse().unwrap();
    let soft: u64 = lines[0].parse().unwrap();
    assert!(hard <= 65_536 && (hard.min(1_024)..=hard).contains(&soft), "{log}");
    assert_eq!((lines[2], lines[3]), ("0", "asked"), "{log}");
}

/// A step that forks without end is killed at the limit of processes, while its supervisor still gets enough CPU for that.
#[test]
fn a_fork_bomb_ends_at_the_limit_of_processes() {
    // the bomb would stop by itself, so a test that fails does not take the machine
    let bomb = "echo begun; f() { i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 100 & done; wait; }; f & f & f";
    let step = sh(bomb).limit(|limits| limits.processes_max = 60);
    let journal = step.run();
    let KillCause::Excess(said) = &journal.cause else { panic!("{:?}", journal.cause) };
    assert!(said.starts_with("killed: ") && said.ends_with(" processes; 60 are the limit of a step"), "{said}");
    assert_eq!((journal.survivors, &journal.exit), (0, &Exit::Lost(said.clone())));
    assert!(step.text().ends_with(&format!("[guild: {said}]\n")), "{}", step.text());
    assert_eq!(journal.exit.to_string(), *said, "it is not a lost step");
}

/// The limit also ends processes that leave their group and session, which no signal to a group reaches.
#[test]
fn a_fork_bomb_of_sessions_ends_at_the_limit_as_well() {
    let step = sh("i=0; while [ $i -lt 200 ]; do i=$((i+1)); setsid sh -c 'sleep 100 & sleep 100' & done; wait")
        .limit(|limits| limits.processes_max = 60);
    let journal = step.run();
    assert!(matches!(&journal.cause, KillCause::Excess(why) if why.contains(" processes; 60 ")), "{:?}", journal.cause);
    assert_eq!(journal.survivors, 0);
}

/// The limit also ends processes that fork on after their shell has ended, and that ignore TERM.
#[test]
fn a_bomb_that_an_ended_shell_left_ends_at_the_limit() {
    let left = "trap '' TERM; (i=0; while [ $i -lt 400 ]; do i=$((i+1)); sleep 100 & done; wait) & exit 0";
    let journal = sh(left).limit(|limits| limits.processes_max = 20).run();
    assert_eq!(journal.survivors, 0);
    assert!(matches!(&journal.cause, KillCause::Excess(why) if why.contains(" processes; 20 ")), "{:?}", journal.cause);
}

/// The limit also holds while a step that was told to stop has time to end.
#[test]
fn a_bomb_of_a_step_that_was_told_to_stop_ends_at_the_limit() {
    let bomb = "b() { i=0; while [ $i -lt 400 ]; do i=$((i+1)); sleep 100 & done; wait; }; \
                trap b TERM; echo begun; while :; do sleep 0.01; done";
    let step = sh(bomb).limit(|limits| (limits.processes_max, limits.grace_ms) = (20, LONG_MS));
    let mut running = step.start();
    running.output(6);
    running.say("stop enough");
    let journal = running.end();
    assert_eq!((journal.survivors, &journal.cause), (0, &KillCause::Stopped("enough".to_owned())));
    assert!(step.text().contains("processes; 20 are the limit of a step"), "{}", step.text());
}

/// A step that exceeds its memory is killed with a reason that says so. Here `tail` keeps a line in memory that has no end.
#[test]
fn a_step_that_takes_too_much_memory_is_ended_and_told_so() {
    let step = sh("(head -c 100000000 /dev/zero; sleep 100) | tail -n 1").limit(|limits| limits.memory_max = 48 << 20);
    let journal = step.run();
    let is_told = |why: &String| why.starts_with("killed: memory, ") && why.ends_with(" of 48.0 MiB");
    assert!(matches!(&journal.cause, KillCause::Excess(why) if is_told(why)), "{:?}", journal.cause);
}

#[test]
fn a_step_within_its_limits_is_left_alone() {
    let step = sh("sleep 0.4; echo done").limit(|limits| (limits.processes_max, limits.memory_max) = (50, 1 << 30));
    let journal = step.run();
    assert_eq!((journal.cause, journal.exit, step.text()), (KillCause::Ended, Exit::Code(0), "done\n".to_owned()));
}

#[test]
fn the_kernel_ends_a_step_before_its_supervisor_where_memory_is_short() {
    let step = sh("cat /proc/self/oom_score_adj; ulimit -Hn").limit(|limits| limits.files_max = 2_000);
    step.run();
    let text = step.text();
    let mut lines = text.lines().map(|line| line.parse::<i64>().unwrap());
    assert!((500..=1_000).contains(&lines.next().unwrap()) && lines.next().unwrap() <= 2_000, "{text}");
}

/// The notes of a checkout are at the beginning of the step's log (C38 and C39 in `tests/cases.tsv`).
#[test]
fn notes_of_the_worker_stand_at_the_beginning_of_the_log() {
    let mut step = sh("echo begun");
    step.order.notes = vec!["1 submodule is not fetched: lib".to_owned()];
    step.run();
    assert_eq!(step.text(), "[guild: 1 submodule is not fetched: lib]\nbegun\n");
}

/// If a program is not found, the error shows the `PATH`, which here has a variable that nobody expands (C47 in `tests/cases.tsv`).
#[test]
fn a_program_that_is_not_found_is_told_with_its_path() {
    let mut step = exec(&["no-such-program"]);
    step.order.env = vec![("PATH".to_owned(), "$HOME/bin:$PATH".to_owned())];
    let journal = step.run();
    let text = step.text();
    assert!(
        text.contains("`no-such-program`")
            && text.contains("PATH, which is `$HOME/bin:$PATH`: variables in it are not expanded"),
        "{text}"
    );
    assert!(matches!(journal.cause, KillCause::Impossible(_)));
}

#[test]
fn a_step_has_the_soft_limit_of_files_from_before_its_worker_raised_it() {
    let step = sh("ulimit -Sn");
    let origin = step.file("origin");
    std::fs::write(&origin, "#!/bin/sh\nulimit -Sn \"$(ulimit -Hn)\"\nexec \"$PROGRAM\" \"$@\"\n").unwrap();
    std::fs::set_permissions(&origin, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let prepared = prepare(step.dir.path(), 0, &step.order).unwrap();
    let mut command = prepared.command(&origin).unwrap();
    let supervisor = command.env("PROGRAM", PROGRAM).env("GUILD_SOFT_FILES", "1025").spawn().unwrap();
    let line = prepared.line();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(command);
    let journal = Running { step: &step, supervisor, line: Some(BufReader::new(line)) }.end();
    assert_eq!(journal.exit, Exit::Code(0));
    assert_eq!(step.text().trim(), "1025");
}

#[test]
fn binary_output_and_one_huge_line_are_byte_exact() {
    let step = sh("i=0; while [ $i -lt 40 ]; do cat blob; i=$((i+1)); done");
    let blob: Vec<u8> =
        (0..262_144_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).map(not_newline).collect();
    std::fs::write(step.file("blob"), &blob).unwrap();
    let journal = step.run();
    assert_eq!(journal.exit, Exit::Code(0));
    let log = step.log();
    assert_eq!(log.len(), 40 * blob.len());
    assert!(log.chunks(blob.len()).all(|part| part == blob));
}

fn not_newline(byte: u8) -> u8 {
    if byte == b'\n' { 0 } else { byte }
}

#[test]
fn output_beyond_the_limit_is_left_out_but_for_its_end_and_the_step_goes_on() {
    let step = sh("head -c 300000 /dev/zero; echo; echo THE-REASON; exit 3").limit(|limits| limits.output_max = 1000);
    let journal = step.run();
    assert_eq!((journal.cause, journal.exit), (KillCause::Ended, Exit::Code(3)));
    let log = step.log();
    assert!(log[..1000].iter().all(|byte| *byte == 0));
    let text = String::from_utf8_lossy(&log[1000..]);
    assert!(text.contains(" bytes are left out here") && text.ends_with("\nTHE-REASON\n"), "{}", &text[..200]);
}

#[test]
fn the_limits_of_time() {
    let ignore_term = "trap '' TERM; while :; do sleep 1; done";
    let cases = [
        (sh("sleep 1000").limit(|limits| limits.step_ms = 50), KillCause::StepTime, Exit::Timeout),
        (sh(ignore_term).limit(|limits| limits.attempt_ms = 50), KillCause::AttemptTime, Exit::Timeout),
        (sh("echo begun; sleep 1000").limit(|limits| limits.idle_ms = 300), KillCause::Idle, Exit::Idle),
    ];
    for (step, cause, exit) in cases {
        let journal = step.run();
        assert_eq!((journal.cause, journal.exit), (cause, exit));
    }
}

#[test]
fn a_step_that_talks_is_not_idle() {
    let step = sh("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done").limit(|limits| limits.idle_ms = 1_200);
    assert_eq!(step.run().cause, KillCause::Ended);
}

#[test]
fn a_lease_that_nobody_renews_ends_the_step() {
    let journal = sh("sleep 1000").limit(|limits| limits.lease_ms = 1_100).run();
    assert_eq!(journal.cause, KillCause::LeaseOver);
}

#[test]
fn a_lease_that_is_renewed_does_not() {
    let step = sh("echo begun; read line < fifo; echo $line").limit(|limits| limits.lease_ms = 3_000);
    assert!(std::process::Command::new("mkfifo").arg(step.file("fifo")).status().unwrap().success());
    let mut running = step.start();
    running.output(6);
    running.say(&format!("deadline {LONG_MS}"));
    running.say("words of a later version");
    std::thread::sleep(Duration::from_millis(2_500));
    std::fs::write(step.file("fifo"), "go on\n").unwrap();
    assert_eq!(running.end().cause, KillCause::Ended);
    assert_eq!(step.log(), b"begun\ngo on\n");
}

/// A worker sends the end of a lease as a moment and not as a duration. If it is stopped just before it sends, a duration would be
/// too long.
#[test]
fn the_end_of_a_lease_is_a_moment() {
    let step = sh("echo begun; sleep 1000").limit(|limits| limits.lease_end = Moment::now().0 + LONG_MS);
    let mut running = step.start();
    running.output(6);
    running.say(&format!("until {}\ndeadline {LONG_MS}", Moment::now().0 + 1_000));
    assert_eq!(running.end().cause, KillCause::LeaseOver);
}

#[test]
fn stopping_says_term_first_and_then_kill() {
    let polite = sh("trap 'echo bye; exit 7' TERM; echo begun; while :; do sleep 0.01; done");
    let mut running = polite.start();
    running.output(6);
    running.say("stop a person said so");
    let journal = running.end();
    assert_eq!((journal.cause, journal.exit), (KillCause::Stopped("a person said so".to_owned()), Exit::Code(7)));
    // A shell may add that its `sleep` was terminated.
    assert!(polite.log().starts_with(b"begun\n") && polite.log().ends_with(b"bye\n"));

    let deaf = sh("trap '' TERM; echo begun; while :; do sleep 0.01; done");
    let mut running = deaf.start();
    running.output(6);
    running.say("stop again");
    assert_eq!(running.end().exit, Exit::Signal(9));
}

/// A script that needs a moment after TERM to clean up. It runs instead of the step's shell, below it, or in a session of its own.
const CLEARS_UP: &str = "trap 'sleep 0.4; echo cleared >$HERE/mark; exit 0' TERM; echo begun; \
                         while :; do sleep 0.01; done";

#[test]
fn every_process_of_a_step_has_the_grace_and_not_only_its_shell() {
    type Limit = (&'static str, fn(&mut Limits), KillCause);
    let ends: [Limit; 4] = [
        ("cancel", |_| (), KillCause::Stopped("a person said so".to_owned())),
        ("the step's time", |limits| limits.step_ms = 400, KillCause::StepTime),
        ("the job's time", |limits| limits.attempt_ms = 400, KillCause::AttemptTime),
        ("silence", |limits| limits.idle_ms = 400, KillCause::Idle),
    ];
    let places = [
        ("below the shell", "/bin/sh clear.sh; echo after"),
        ("in the background", "/bin/sh clear.sh & wait"),
        ("in a session of its own", "setsid /bin/sh clear.sh & wait"),
        ("below a shell that ends at once", "/bin/sh -c '/bin/sh clear.sh; true' & wait"),
    ];
    for (end, limit, cause) in ends {
        for (place, script) in places {
            let step = sh(script).limit(|limits| limits.grace_ms = 30_000).limit(limit);
            std::fs::write(step.file("clear.sh"), CLEARS_UP).unwrap();
            let mut running = step.start();
            running.output(6);
            if matches!(cause, KillCause::Stopped(_)) {
                running.say("stop a person said so");
            }
            let began = Instant::now();
            let journal = running.end();
            assert_eq!((journal.cause, journal.survivors), (cause.clone(), 0), "{end}, {place}");
            assert!(step.file("mark").exists(), "{end}, {place}: it was killed while it cleared up");
            assert!(began.elapsed() < Duration::from_secs(20), "{end}, {place}: it waited for nobody");
            assert!(!step.text().contains("[guild:"), "{end}, {place}: nothing had to be ended: {}", step.text());
        }
    }
}

#[test]
fn term_is_said_once_to_each_process() {
    let count =
        "trap 'echo term >>$HERE/terms' TERM; echo begun; while [ ! -e $HERE/terms ]; do sleep 0.01; done; sleep 0.3";
    for script in ["/bin/sh count.sh & wait", "setsid /bin/sh count.sh & wait"] {
        let step = sh(script).limit(|limits| limits.grace_ms = 30_000);
        std::fs::write(step.file("count.sh"), count).unwrap();
        let mut running = step.start();
        running.output(6);
        running.say("stop now");
        running.end();
        assert_eq!(std::fs::read_to_string(step.file("terms")).unwrap(), "term\n", "{script}");
    }
}

#[test]
fn what_does_not_end_in_its_grace_is_killed_and_named() {
    let deaf = "trap '' TERM; echo begun; while :; do sleep 0.01; done";
    let step = sh("/bin/sh deaf.sh; true");
    std::fs::write(step.file("deaf.sh"), deaf).unwrap();
    let mut running = step.start();
    running.output(6);
    running.say("stop now");
    assert_eq!(running.end().survivors, 0);
    let log = step.text();
    let line = log.lines().last().unwrap();
    assert!(line.contains("still running") && line.contains("ended: ") && line.contains("sh"), "{log}");
}

#[test]
fn a_server_that_a_step_leaves_behind_is_ended_and_named() {
    let step = sh("printf amid; sleep 1000 >/dev/null 2>&1 & (setsid sleep 1001 >/dev/null 2>&1 &); exit 3");
    let journal = step.run();
    assert_eq!((journal.cause, journal.exit, journal.survivors), (KillCause::Ended, Exit::Code(3), 0));
    assert_eq!(step.text(), "amid\n[guild: 2 processes were still running and were ended: sleep, sleep]\n");

    let quiet = sh("sleep 0.05 & echo done");
    quiet.run();
    assert_eq!(quiet.text(), "done\n", "it ended by itself");
}

#[test]
fn a_step_of_tier_plain_has_the_grace_for_its_process_group() {
    for (script, is_named) in [("/bin/sh clear.sh; true", false), ("/bin/sh deaf.sh; true", true)] {
        let mut step = sh(script).limit(|limits| limits.grace_ms = 2_000);
        step.order.tier = Tier::Plain;
        std::fs::write(step.file("clear.sh"), CLEARS_UP).unwrap();
        std::fs::write(step.file("deaf.sh"), "trap '' TERM; echo $$ >$HERE/pid; echo begun; while :; do sleep 1; done")
            .unwrap();
        let mut running = step.start();
        running.output(6);
        running.say("stop now");
        running.end();
        assert_eq!(step.file("mark").exists(), !is_named);
        assert_eq!(step.text().contains("still running"), is_named, "{}", step.text());
        if is_named {
            let pid = step.pid_in("pid");
            eventually(|| !is_alive(pid));
        }
    }
}

#[test]
fn daemons_of_a_step_end_with_it() {
    let step = sh("(setsid sh -c 'trap \"\" TERM HUP; (setsid sleep 1000 & echo $! >two; wait) & echo $$ >one; wait' \
                   </dev/null >/dev/null 2>&1 &) ; while [ ! -s one ] || [ ! -s two ]; do sleep 0.01; done");
    let journal = step.run();
    assert_eq!((journal.exit, journal.survivors), (Exit::Code(0), 0));
    for name in ["one", "two"] {
        assert!(!is_alive(step.pid_in(name)));
    }
}

#[test]
fn what_a_step_leaves_writing_may_finish_its_line() {
    let step = sh("(sleep 0.05; echo late) & echo early");
    step.run();
    assert_eq!(step.log(), b"early\nlate\n");
}

#[test]
fn a_step_that_forks_all_the_time_ends() {
    let step = sh("echo begun; f() { while :; do (exec sleep 0.02) & (f2 &) ; sleep 0.005; done; }; \
                   f2() { sleep 0.02; (f2 &); }; f");
    let mut running = step.start();
    running.output(6);
    std::thread::sleep(Duration::from_millis(100));
    running.say("stop enough");
    assert_eq!(running.end().survivors, 0);
}

#[test]
fn a_supervisor_outlives_its_worker_and_meets_the_next() {
    let step =
        sh("echo one; while [ ! -e go ]; do sleep 0.01; done; echo two; while [ ! -e end ]; do sleep 0.01; done");
    let mut running = step.start();
    running.output(4);
    running.line = None;
    std::fs::write(step.file("go"), "").unwrap();
    // the supervisor accepts a connection as soon as it sees that its worker is gone
    eventually(|| {
        let next = connect(step.dir.path(), 0);
        running.line = next.ok().map(BufReader::new);
        running.line.is_some()
    });
    running.line.as_ref().unwrap().get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    running.output(8);
    assert!(step.files().is_supervised().unwrap());
    std::fs::write(step.file("end"), "").unwrap();
    assert_eq!(running.end().exit, Exit::Code(0));
}

/// Returns all named sockets of this machine, as any user can see them.
fn sockets() -> String {
    std::fs::read_to_string("/proc/net/unix").unwrap()
}

#[test]
fn nobody_else_can_take_the_place_of_a_supervisor() {
    let step = sh("echo here; while [ ! -e end ]; do sleep 0.01; done");
    // another process takes the name at which earlier versions listened
    let name = step.dir.path().file_name().unwrap().to_str().unwrap().to_owned();
    let address = SocketAddr::from_abstract_name(format!("guild-step/{name}/0")).unwrap();
    let other = UnixListener::bind_addr(&address).unwrap();
    let mut running = step.start();
    running.output(5);
    // the socket appears a moment after the step began, and its file exists a moment before anybody listens
    eventually(|| UnixStream::connect(step.file("step-0.sock")).is_ok());
    drop(connect(step.dir.path(), 0).unwrap());
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err(), "a worker asks whoever has the name");
    drop(other);
    assert!(!sockets().contains(&format!("@guild-step/{name}")), "it listens at a name that anybody could take");
    running.line = None;
    std::fs::write(step.file("end"), "").unwrap();
    assert_eq!(running.end().exit, Exit::Code(0));
    assert!(!step.file("step-0.sock").exists(), "it leaves nothing behind");
}

#[test]
fn a_supervisor_without_a_socket_goes_on_and_makes_one_when_it_can() {
    let step = sh("echo here; while [ ! -e end ]; do sleep 0.01; done");
    std::fs::create_dir(step.file("step-0.sock")).unwrap();
    let mut running = step.start();
    running.output(5);
    assert!(connect(step.dir.path(), 0).is_err());
    std::fs::remove_dir(step.file("step-0.sock")).unwrap();
    eventually(|| step.file("step-0.sock").exists());
    drop(connect(step.dir.path(), 0).unwrap());
    running.line = None;
    std::fs::write(step.file("end"), "").unwrap();
    assert_eq!(running.end().exit, Exit::Code(0));
}

#[test]
fn a_supervisor_of_an_earlier_version_is_found() {
    let step = sh("true");
    let name = step.dir.path().file_name().unwrap().to_str().unwrap().to_owned();
    let address = SocketAddr::from_abstract_name(format!("guild-step/{name}/0")).unwrap();
    let before = UnixListener::bind_addr(&address).unwrap();
    let line = connect(step.dir.path(), 0).unwrap();
    drop((before.accept().unwrap(), line));
    drop(before);
    let before = UnixListener::bind(step.file("step-0.sock")).unwrap();
    let line = connect(step.dir.path(), 0).unwrap();
    drop((before.accept().unwrap(), line));
}

#[test]
fn an_end_without_a_worker_is_written_down() {
    let step = sh("while [ ! -e go ]; do sleep 0.01; done; exit 5");
    let mut running = step.start();
    running.line = None;
    std::fs::write(step.file("go"), "").unwrap();
    assert_eq!(running.end().exit, Exit::Code(5));
}

#[test]
fn an_orphan_ends_after_its_grace() {
    let step = sh("echo $$ >pid; sleep 1000").limit(|limits| limits.orphan_ms = 100);
    let mut running = step.start();
    let pid = step.pid_in("pid");
    running.line = None;
    assert_eq!(running.end().cause, KillCause::Orphaned);
    assert!(!is_alive(pid));
}

#[test]
fn a_killed_supervisor_takes_the_step_with_it() {
    // the step is a single process, because nobody would end the children of a shell if its supervisor is killed
    let step = sh("echo $$ >pid; exec sleep 1000");
    let mut running = step.start();
    let pid = step.pid_in("pid");
    running.supervisor.kill().unwrap();
    running.supervisor.wait().unwrap();
    eventually(|| !is_alive(pid));
    assert_eq!(step.files().read_journal().unwrap(), None);
    assert!(!step.files().is_supervised().unwrap());
}

#[test]
fn a_deep_directory_is_no_obstacle() {
    let mut step = sh("echo here");
    let deep = step.file(&"long-name/".repeat(30));
    std::fs::create_dir_all(&deep).unwrap();
    step.order.dir = deep.clone();
    let prepared = prepare(&deep, 3, &step.order).unwrap();
    let mut supervisor = prepared.command(Path::new(PROGRAM)).unwrap().spawn().unwrap();
    assert!(supervisor.wait().unwrap().success());
    assert_eq!(StepFiles::new(&deep, 3).read_journal().unwrap().unwrap().exit, Exit::Code(0));
}

/// Runs a step with a supervisor from the forker. Returns the journal that it wrote.
fn supervised(forker: &SupervisorForker, step: &Step) -> Journal {
    let prepared = prepare(step.dir.path(), 0, &step.order).unwrap();
    prepared.ask(forker).unwrap();
    let line = prepared.line();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(BufReader::new(line).lines().map_while(Result::ok).last().as_deref(), Some("exited"));
    eventually(|| !step.files().is_supervised().unwrap());
    step.files().read_journal().unwrap().unwrap()
}

#[test]
fn a_forker_makes_supervisors() {
    let (mut command, forker) = SupervisorForker::command(Path::new(PROGRAM)).unwrap();
    let mut serving = command.spawn().unwrap();
    for round in 0..3 {
        // a supervisor waits for its children, although the forker does not wait for its own
        let step = sh(&format!("(sleep 0.05; exit {round}) & wait $! || echo $?; ps -o comm= -p $PPID; exit {round}"));
        assert_eq!(supervised(&forker, &step).exit, Exit::Code(round));
        let said = if round == 0 { "supervisor\n".to_owned() } else { format!("{round}\nsupervisor\n") };
        assert_eq!(String::from_utf8(step.log()).unwrap(), said);
    }
    drop(forker);
    assert!(serving.wait().unwrap().success());
}

#[test]
fn a_supervisor_at_rest_takes_the_next_step_and_ends_with_its_forker() {
    let (mut command, forker) = SupervisorForker::command(Path::new(PROGRAM)).unwrap();
    let mut serving = command.spawn().unwrap();
    drop(command);
    let parent = || {
        let step = sh("echo $PPID");
        assert_eq!(supervised(&forker, &step).exit, Exit::Code(0));
        String::from_utf8(step.log()).unwrap().trim().to_owned()
    };
    // an idle supervisor ends after a while, so a slow machine gets more tries
    let again = std::iter::repeat_with(|| (parent(), parent())).take(20).find(|(first, second)| first == second);
    let (pid, _) = again.expect("the same supervisor twice");

    // a supervisor with a step gets no other step
    let busy = sh("while [ ! -e $HERE/go ]; do sleep 0.01; done; echo $PPID; exit 7");
    let prepared = prepare(busy.dir.path(), 0, &busy.order).unwrap();
    prepared.ask(&forker).unwrap();
    let beside = parent();
    std::fs::write(busy.file("go"), "").unwrap();
    let line = prepared.line();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(BufReader::new(line).lines().map_while(Result::ok).last().as_deref(), Some("exited"));
    assert_ne!(String::from_utf8(busy.log()).unwrap().trim(), beside);

    let is_there = |pid: &str| is_alive(pid.parse().unwrap());
    drop(forker);
    assert!(serving.wait().unwrap().success());
    eventually(|| !is_there(&pid) && !is_there(&beside));
}

#[test]
fn a_forker_says_when_it_is_there() {
    let (mut command, forker) = SupervisorForker::command(Path::new(PROGRAM)).unwrap();
    let hidden: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
    assert!(hidden.contains(&"NOTIFY_SOCKET".as_ref()), "{hidden:?}");
    let mut serving = command.spawn().unwrap();
    forker.wait(PATIENCE).unwrap();
    assert_eq!(supervised(&forker, &sh("true")).exit, Exit::Code(0));
    drop(forker);
    assert!(serving.wait().unwrap().success());

    let (mut command, forker) = SupervisorForker::command(Path::new("false")).unwrap();
    let mut failing = command.spawn().unwrap();
    drop(command);
    assert_eq!(forker.wait(PATIENCE).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(!failing.wait().unwrap().success());
}

#[test]
fn supervisors_outlive_their_forker() {
    let (mut command, forker) = SupervisorForker::command(Path::new(PROGRAM)).unwrap();
    let mut serving = command.spawn().unwrap();
    let step = sh("echo $$ > $HERE/pid; while [ ! -e $HERE/go ]; do sleep 0.01; done; exit 7");
    let prepared = prepare(step.dir.path(), 0, &step.order).unwrap();
    prepared.ask(&forker).unwrap();
    step.pid_in("pid");
    serving.kill().unwrap();
    serving.wait().unwrap();
    // the command also holds the forker's end of the connection
    drop(command);
    let other = sh("true");
    assert!(prepare(other.dir.path(), 0, &other.order).unwrap().ask(&forker).is_err(), "nobody will do it");
    std::fs::write(step.file("go"), "").unwrap();
    let line = prepared.line();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(BufReader::new(line).lines().map_while(Result::ok).last().as_deref(), Some("exited"));
    assert_eq!(step.files().read_journal().unwrap().unwrap().exit, Exit::Code(7));
}

/// Each tier is probed with the real program, as a worker does at its start. The probe works and leaves nothing behind.
#[test]
fn each_tier_is_tried_and_nothing_of_the_try_is_left() {
    for tier in Tier::ALL {
        let mark = format!("PROBE_OF_A_TEST={}-{}", std::process::id(), tier);
        let (name, value) = mark.split_once('=').unwrap();
        let mut command = std::process::Command::new(PROGRAM);
        let tried = command.args([worker::SUPERVISE, "probe", tier.word()]).env(name, value).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&tried.stdout), "works\n", "{tier}");
        let is_marked = |entry: std::fs::DirEntry| {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
        };
        assert!(
            !std::fs::read_dir("/proc").unwrap().flatten().any(is_marked),
            "a process of the try for {tier} lives on"
        );
    }
}
