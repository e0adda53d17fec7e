//! The time of lists, of a look at one build, and of the master's start, with many builds in the store. The first [`REAL`] builds
//! really ran; the rest are copies of their rows.

use super::Bench;
use crate::lab::{Lab, PROJECT, one_job};
use crate::proc::memory_kib;
use client::BuildQuery;
use rusqlite::Connection;
use serde_json::json;
use std::path::Path;
use std::time::Instant;

pub(super) const REAL: usize = 50;
const QUERIES: usize = 100;

pub async fn measure(bench: &Bench<'_>) {
    let sizes = if bench.quick { &[REAL, 2_000, 20_000][..] } else { &[REAL, 10_000, 100_000, 1_000_000] };
    let mut lab = Lab::open(bench.bin, &one_job("true"), &[4]).await;
    lab.burst(REAL).await;
    lab.stop_all();
    for size in sizes.iter().copied() {
        let store = lab.path("m/guild.db");
        let builds = multiply(&store, size / REAL);
        let start = lab.start_master().await;
        bench.figures.tell("history_restart", start, "s", builds, json!({}));
        let bytes = std::fs::metadata(&store).map_or(f64::NAN, |file| file.len() as f64);
        let detail = json!({"kib_per_build": bytes / 1024.0 / builds as f64, "master_rss_mib": memory_kib(lab.master(), "Rss") / 1024.0});
        bench.figures.tell("history_db", bytes / 1048576.0, "MiB", builds, detail);
        queries(bench, &lab, builds).await;
        lab.stop_all();
    }
}

async fn queries(bench: &Bench<'_>, lab: &Lab, builds: usize) {
    let newest = BuildQuery { project: PROJECT.to_owned(), limit: 50, ..BuildQuery::default() };
    let before = BuildQuery { before: u32::try_from(builds / 2).unwrap_or(u32::MAX), ..newest.clone() };
    let mut lists = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in 0..QUERIES {
        lists.0.push(timed(async { assert_eq!(lab.guild.builds(&newest).await.expect("a list").len(), 50) }).await);
        lists.1.push(timed(async { assert!(!lab.guild.builds(&before).await.expect("a list").is_empty()) }).await);
        let one = u32::try_from(1 + number * (builds - 1) / QUERIES).unwrap_or(1);
        lists.2.push(timed(async { drop(lab.guild.build(PROJECT, one).await.expect("a build")) }).await);
        lists.3.push(timed(async { drop(lab.guild.projects().await.expect("projects")) }).await);
    }
    let detail = json!({"builds": builds});
    bench.figures.tell_ms("history_list", &lists.0, &detail);
    bench.figures.tell_ms("history_list_middle", &lists.1, &detail);
    bench.figures.tell_ms("history_one", &lists.2, &detail);
    bench.figures.tell_ms("history_projects", &lists.3, &detail);
}

async fn timed(work: impl Future<Output = ()>) -> f64 {
    let began = Instant::now();
    work.await;
    began.elapsed().as_secs_f64()
}

/// Copies the first [`REAL`] builds in the store of a stopped master, with all their rows, until there are `times` as many.
/// Returns the number of builds.
pub(super) fn multiply(store: &Path, times: usize) -> usize {
    let database = Connection::open(store).expect("the store opens");
    database.pragma_update(None, "synchronous", "off").expect("a pragma");
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    let have = number("select count(*) from builds") as usize / REAL;
    let (last_event, last_build) = (number("select max(sequence) from events"), number("select max(id) from builds"));
    // the events and the builds of the first copy, which really ran, have the numbers from 1 on without a gap
    let (events, builds) = (last_event / have as i64, last_build / have as i64);
    database.execute_batch("begin").expect("a transaction");
    for copy in have..times {
        for (table, columns) in [
            ("builds", &["id", "number"][..]),
            ("plans", &["build"]),
            ("jobs", &["build"]),
            ("attempts", &["build"]),
            ("steps", &["build"]),
            ("logs", &["build"]),
            ("events", &["sequence", "build"]),
        ] {
            copy_rows(&database, table, columns, copy as i64 * builds, copy as i64 * events, (builds, events));
        }
    }
    let sql = "update counters set value = (select max(id) from builds) where name = 'build'; \
               update counters set value = (select max(sequence) from events) where name = 'event'; \
               update numbers set number = (select max(number) from builds); commit";
    database.execute_batch(sql).expect("the counters follow");
    number("select count(*) from builds") as usize
}

fn copy_rows(database: &Connection, table: &str, columns: &[&str], build: i64, event: i64, block: (i64, i64)) {
    let mut info = database.prepare_cached("select name from pragma_table_info(?1)").expect("a query");
    let names = info.query_map([table], |row| row.get::<_, String>(0)).expect("columns");
    let names: Vec<String> = names.map(|name| name.expect("a name")).collect();
    let moved = names.iter().map(|name| match (columns.contains(&name.as_str()), name.as_str()) {
        (true, "sequence") => format!("sequence + {event}"),
        // build 0 means that the event is not about a build
        (true, "build") => format!("case build when 0 then 0 else build + {build} end"),
        (true, name) => format!("{name} + {build}"),
        (false, name) => name.to_owned(),
    });
    let values: Vec<String> = moved.collect();
    let (key, last) = if table == "events" { ("sequence", block.1) } else { (columns[0], block.0) };
    let list = values.join(", ");
    let sql = format!("insert into {table} ({}) select {list} from {table} where {key} <= {last}", names.join(", "));
    database.execute(&sql, []).expect("rows are copied");
}
