//! Tests of the times at which entries of `[trigger.cron]` fire, over changes of clocks in both hemispheres, and of the errors about
//! broken entries.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without ends it")]

use pipeline::{Changed, Context, CronEntry, CronMistake, CronTimes, load};
use schema::values::{BuildCause, Time, Trust};

/// Converts a time in UTC, which is written like `2026-03-29 02:59`.
fn utc(text: &str) -> Time {
    let [date, time] = text.split_once(' ').map(|(date, time)| [date, time]).unwrap();
    let parts = |text: &str, by| text.split(by).map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    let (date, time) = (parts(date, '-'), parts(time, ':'));
    // this expression names that minute of each year, and the year is found below
    let at = format!("{} {} {} {} *", time[1], time[0], date[2], date[1]);
    let times = CronTimes::new(&at, "UTC").unwrap();
    std::iter::successors(times.next(Time(0)), |time| times.next(*time))
        .find(|time| times.shown(*time).starts_with(&date[0].to_string()))
        .unwrap()
}

fn next(at: &str, tz: &str, after: &str) -> Vec<String> {
    let (times, clock) = (CronTimes::new(at, tz).unwrap(), CronTimes::new("* * * * *", "UTC").unwrap());
    let firings = std::iter::successors(times.next(utc(after)), |time| times.next(*time));
    firings.take(3).map(|time| clock.shown(time).replace(" UTC", "")).collect()
}

#[test]
fn firings_are_of_the_clock_on_the_wall() {
    for (case, at, tz, after, wanted) in [
        (
            "each day",
            "0 3 * * *",
            "UTC",
            "2026-11-30 03:00",
            ["2026-12-01 03:00", "2026-12-02 03:00", "2026-12-03 03:00"],
        ),
        // when clocks are put forward, half past two does not exist
        (
            "gap, north",
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28 00:00",
            ["2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30"],
        ),
        (
            "gap, south",
            "30 2 * * *",
            "Australia/Sydney",
            "2026-10-02 20:00",
            ["2026-10-03 16:00", "2026-10-04 15:30", "2026-10-05 15:30"],
        ),
        (
            "gap of half an hour",
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03 00:00",
            ["2026-10-03 15:30", "2026-10-04 15:15", "2026-10-05 15:15"],
        ),
        (
            "a gap is one moment",
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29 00:30",
            ["2026-03-29 01:00", "2026-03-29 01:30", "2026-03-29 02:00"],
        ),
        // when clocks are put back, half past two comes twice
        (
            "twice, north",
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24 12:00",
            ["2026-10-25 00:30", "2026-10-26 01:30", "2026-10-27 01:30"],
        ),
        (
            "twice, south",
            "30 2 * * *",
            "Australia/Sydney",
            "2026-04-03 20:00",
            ["2026-04-04 15:30", "2026-04-05 16:30", "2026-04-06 16:30"],
        ),
        (
            "each hour, once",
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-24 23:30",
            ["2026-10-25 00:00", "2026-10-25 02:00", "2026-10-25 03:00"],
        ),
        (
            "from within the second time",
            "*/20 * * * *",
            "Europe/Berlin",
            "2026-10-25 01:10",
            ["2026-10-25 02:00", "2026-10-25 02:20", "2026-10-25 02:40"],
        ),
        (
            "leap days",
            "0 0 29 2 *",
            "UTC",
            "2026-01-01 00:00",
            ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"],
        ),
        (
            "the last day",
            "0 9 L * *",
            "UTC",
            "2026-02-01 00:00",
            ["2026-02-28 09:00", "2026-03-31 09:00", "2026-04-30 09:00"],
        ),
        (
            "weekdays by name",
            "0 12 * * mon#1",
            "UTC",
            "2026-11-30 13:00",
            ["2026-12-07 12:00", "2027-01-04 12:00", "2027-02-01 12:00"],
        ),
    ] {
        assert_eq!(next(at, tz, after), wanted, "{case}");
    }
}

#[test]
fn a_firing_is_shown_as_the_clock_of_its_zone_shows_it() {
    let times = CronTimes::new("30 2 * * *", "Europe/Berlin").unwrap();
    assert_eq!(times.shown(utc("2026-03-29 01:00")), "2026-03-29 03:00 Europe/Berlin");
    assert_eq!(times.shown(utc("2026-10-25 00:30")), "2026-10-25 02:30 Europe/Berlin");
}

#[test]
fn what_never_comes_is_a_mistake() {
    assert_eq!(CronTimes::new("30 2 30 2 *", "UTC").err(), Some(CronMistake::Never));
    assert_eq!(CronTimes::new("0 3 * * *", "Mars/Olympus").err(), Some(CronMistake::Zone));
    assert!(matches!(CronTimes::new("0 3 * *", "UTC"), Err(CronMistake::Expression(_))));
    assert!(matches!(CronTimes::new("0 0 3 * * *", "UTC"), Err(CronMistake::Expression(_))), "there are no seconds");
}

fn errors(cron: &str) -> Vec<String> {
    let text = format!("version = 1\n[job.a]\nrun = 'x'\n[trigger.cron.nightly]\n{cron}");
    let found = load("guild.toml", text.as_bytes()).expect_err(cron).0;
    found.iter().map(|it| format!("{}:{} {} | {}", it.line, it.column, it.message, it.help)).collect()
}

#[test]
fn a_broken_entry_is_told_with_its_place_and_a_way_out() {
    for (cron, place, why, way_out) in [
        ("tz = 'UTC'", "4:15", "lacks `at`", "at = \"0 3 * * *\""),
        (
            "at = 'midnight'",
            "5:6",
            "`at` of [trigger.cron.nightly] is not a valid time: ",
            "write five fields: minute, hour",
        ),
        (
            "at = '0 25 * * *'",
            "5:6",
            "`at` of [trigger.cron.nightly] is not a valid time: ",
            "write five fields: minute, hour",
        ),
        (
            "at = '30 2 30 2 *'",
            "5:6",
            "`at` of [trigger.cron.nightly] names a time that never comes",
            "no year has such a day",
        ),
        ("at = '0 3 * * *'\ntz = 'Europe/Berln'", "6:6", "is not a time zone", "did you mean `Europe/Berlin`?"),
        ("at = '0 3 * * *'\ntz = 'nowhere at all'", "6:6", "is not a time zone", "a name of the IANA database"),
        (
            "at = '0 3 * * *'\nbranch = 'release/*'",
            "6:10",
            "must be one branch, and not a pattern",
            "an entry for each branch",
        ),
        ("at = '0 3 * * *'\nbranch = 'refs/heads/main'", "6:10", "must be the short name of a branch", "write `main`"),
        ("at = '0 3 * * *'\nif_change = true", "6:1", "has no key `if_change`", "did you mean `if_changed`?"),
    ] {
        let found = errors(cron);
        let [one] = &found[..] else { panic!("{cron}: {found:?}") };
        assert!(one.starts_with(place) && one.contains(why) && one.contains(way_out), "{cron}: {one}");
    }
}

#[test]
fn a_file_has_so_many_entries() {
    let text = |count: usize| {
        let entries = (0..count).map(|at| format!("[trigger.cron.c{at}]\nat = '0 3 * * *'\n")).collect::<String>();
        format!("version = 1\n[job.a]\nrun = 'x'\n{entries}")
    };
    assert_eq!(load("guild.toml", text(20).as_bytes()).unwrap().crons().len(), 20);
    let refused = load("guild.toml", text(21).as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("[trigger.cron] has 21 entries, but only 20 are allowed"), "{refused}");
}

const NIGHTLY: &str = "
version = 1
[trigger]
push = []
[trigger.cron]
nightly = { at = '0 3 * * *', tz = 'europe/berlin', branch = 'dev', if_changed = true }
weekly = { at = '0 4 * * sun' }
[job.always]
run = 'x'
[job.long]
when = { cron = 'nightly' }
run = 'x'
[job.timed]
when = { cause = 'cron' }
run = 'x'
";

#[test]
fn jobs_choose_the_builds_of_the_clock() {
    let pipeline = load("guild.toml", NIGHTLY.as_bytes()).unwrap();
    let nightly = CronEntry {
        name: "nightly".to_owned(),
        at: "0 3 * * *".to_owned(),
        tz: "Europe/Berlin".to_owned(),
        branch: Some("dev".to_owned()),
        if_changed: true,
    };
    assert_eq!((pipeline.crons().len(), &pipeline.crons()[0]), (2, &nightly));
    let plan = |cause| {
        let (ref_name, changed) = ("refs/heads/dev".to_owned(), Changed::default());
        pipeline.expand(&Context { ref_name, cause, changed, trust: Trust::Trusted }).unwrap()
    };
    let skipped = |cause| plan(cause).jobs.into_iter().map(|job| job.skipped).collect::<Vec<_>>();
    let cron = |name: &str| BuildCause::Cron { name: name.to_owned() };
    assert_eq!(skipped(cron("nightly")), ["", "", ""]);
    assert_eq!(skipped(cron("weekly")), ["", "runs only for cron nightly; the cause of this build is cron weekly", ""]);
    let not_by_name = "runs only for cron nightly; the cause of this build is change";
    let not_by_kind = "runs only for the cause cron; this one is change";
    assert_eq!(skipped(BuildCause::Change), ["", not_by_name, not_by_kind]);
    let variable = |cause| plan(cause).jobs[0].env.clone();
    assert_eq!(variable(cron("weekly")), [("GUILD_CRON".to_owned(), "weekly".to_owned())]);
    assert_eq!(variable(BuildCause::Change), []);
}
