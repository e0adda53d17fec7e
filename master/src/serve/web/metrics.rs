//! Health and metrics, for machines that watch the master. `docs/metrics.md` lists them, and says what to alert on.

mod process;

use super::Site;
use super::reply::{Miss, Reply, status};
use crate::serve::api::Measured;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The longest wait for the figures of the disk. A disk on a lost server never answers, and the other numbers must not wait for it.
const DISK_PATIENCE: Duration = Duration::from_secs(3);

type Labels = Vec<(String, String)>;
type LabelledGauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// Whether the master answers, and can record new facts.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> Reply {
    match site.bridge.at_door(|door| async move { door.is_ready() }).await {
        Ok(true) => status(StatusCode::OK, "ready\n"),
        Ok(false) => status(StatusCode::SERVICE_UNAVAILABLE, "the disk is full\n"),
        Err(_) => status(StatusCode::SERVICE_UNAVAILABLE, "the master does not answer\n"),
    }
}

/// Serves the numbers of the whole master. They name projects only if the master file allows that.
pub(super) async fn metrics(State(site): State<Arc<Site>>) -> Result<Reply, Miss> {
    let measured = site.bridge.at_door(|door| async move { door.measured().await }).await?;
    let disk = disk(measured.state.clone()).await;
    let mut families = Families { registry: Registry::with_prefix("guild"), names_projects: site.names_projects };
    families.state(&measured);
    families.counts(&measured);
    families.repositories(&measured);
    families.bytes(&measured, disk);
    families.site(&site);
    families.process();
    let mut text = String::new();
    encode(&mut text, &families.registry).map_err(|_| Miss::Broken)?;
    let mut reply = Reply::new(text.into());
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(reply)
}

/// Returns the bytes of the database, and the free bytes of its disk.
async fn disk(state: PathBuf) -> Option<(u64, u64)> {
    let looking = tokio::task::spawn_blocking(move || crate::explain::doctor::disk_bytes(&state));
    tokio::time::timeout(DISK_PATIENCE, looking).await.ok()?.ok()?
}

/// `Families` collects the metrics of one answer.
struct Families {
    registry: Registry,
    names_projects: bool,
}

impl Families {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let gauge: Gauge<u64, AtomicU64> = Gauge::default();
        gauge.set(value);
        self.registry.register(name, help, gauge);
    }

    fn seconds(&mut self, name: &str, help: &str, seconds: f64) {
        let gauge: Gauge<f64, AtomicU64> = Gauge::default();
        gauge.set(seconds);
        self.registry.register_with_unit(name, help, Unit::Seconds, gauge);
    }

    fn gauges<'v>(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (&'static str, &'v str, f64)>) {
        let family = LabelledGauges::default();
        for (label, value, number) in values {
            family.get_or_create(&vec![(label.to_owned(), value.to_owned())]).set(number);
        }
        self.registry.register(name, help, family);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        self.registry.register(name, help, counter);
    }

    fn state(&mut self, measured: &Measured) {
        let counts = measured.counts;
        self.gauge("workers_connected", "Workers with a session", counts.workers_connected as u64);
        self.gauge("workers_known", "Workers that enrolled and were not forgotten", counts.workers_known as u64);
        self.gauge("jobs_running", "Jobs that are offered to a worker or run", counts.running as u64);
        self.gauge("jobs_waiting", "Jobs that wait for a worker", counts.waiting as u64);
        self.gauge("jobs_unplaceable", "Jobs that wait, and that no worker can take", measured.unplaceable);
        self.gauge("builds_open", "Builds that are not finished", counts.builds_open as u64);
        self.gauge("events_last", "Number of the last event", counts.last_event);
        self.gauge("disk_full", "1 while nothing new can be recorded", u64::from(measured.is_full));
        self.gauge("logs_failing", "1 while some log cannot be written", u64::from(measured.logs_fail));
        let oldest = measured.oldest_queued.map_or(0.0, |since| measured.now.since(since).as_secs_f64());
        self.seconds("queue_oldest", "How long the oldest job of the queue waits", oldest);
        let workers = measured.workers.iter().map(|(state, count)| ("state", *state, *count as f64));
        self.gauges("workers", "Workers by their state", workers);
        self.slots(measured);
        self.gauge("notices_failing", "Reporters that cannot deliver a notice now", measured.notices_failing);
        self.gauge(
            "notices_given_up",
            "Reporters that gave up a notice within the last 4 days",
            measured.notices_given_up,
        );
    }

    /// Adds the slots of workers. They are not by pool unless projects are named, because a pool may belong to one project and reveal it.
    fn slots(&mut self, measured: &Measured) {
        let (all, used) = ("Slots of connected workers", "Slots in use");
        if !self.names_projects {
            self.gauge("slots", all, measured.slots.0);
            return self.gauge("slots_used", used, measured.slots.1);
        }
        let pools = measured.slots_by_pool.iter();
        self.gauges("slots", all, pools.clone().map(|(pool, (slots, _))| ("pool", pool.as_str(), *slots as f64)));
        self.gauges("slots_used", used, pools.map(|(pool, (_, used))| ("pool", pool.as_str(), *used as f64)));
    }

    fn counts(&mut self, measured: &Measured) {
        let counted = &measured.counted;
        self.outcomes("builds_finished", "Finished builds since the start", &counted.builds);
        self.outcomes("jobs_finished", "Finished jobs since the start", &counted.jobs);
        self.counter("attempts_lost", "Attempts that were lost with their worker", counted.attempts_lost);
        self.counter("workers_lost", "Times that a worker was lost", counted.workers_lost);
        self.counter("rpc_logins_refused", "Credentials and joins that the RPC port refused", counted.logins_refused);
        self.counter("alarms", "Alarms, for example because somebody else showed a credential", counted.alarms);
        let histograms = [
            ("job_queue", "How long jobs waited for a worker", &counted.queue_seconds),
            ("job_run", "How long jobs ran", &counted.job_seconds),
            ("build", "How long builds took, from their creation to their end", &counted.build_seconds),
            ("commit", "How long a commit of the store took", &counted.commit_seconds),
        ];
        for (name, help, histogram) in histograms {
            self.registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
    }

    fn outcomes(&mut self, name: &str, help: &str, counts: &BTreeMap<(String, schema::values::Outcome), u64>) {
        let family: Family<Labels, Counter> = Family::default();
        for ((project, outcome), count) in counts {
            let mut labels = vec![("outcome".to_owned(), outcome.word().to_owned())];
            labels.extend(self.names_projects.then(|| ("project".to_owned(), project.clone())));
            family.get_or_create(&labels).inc_by(*count);
        }
        self.registry.register(name, help, family);
    }

    fn repositories(&mut self, measured: &Measured) {
        let all = &measured.repositories;
        let failing = all.iter().filter(|repository| repository.is_failing).count();
        self.gauge("repositories", "Repositories that are followed", all.len() as u64);
        self.gauge("repositories_failing", "Repositories whose last look failed", failing as u64);
        let age = |good: Option<schema::values::Time>| good.map(|good| measured.now.since(good).as_secs_f64());
        let oldest = all.iter().filter_map(|repository| age(repository.good)).fold(0.0, f64::max);
        self.seconds(
            "repository_look_oldest",
            "Age of the last good look at the repository that has the oldest one",
            oldest,
        );
        if self.names_projects {
            let ages = all
                .iter()
                .filter_map(|repository| Some(("project", repository.project.as_str(), age(repository.good)?)));
            self.gauges("repository_look_age_seconds", "How long ago each repository was read", ages);
        }
    }

    fn bytes(&mut self, measured: &Measured, disk: Option<(u64, u64)>) {
        let (database, free) = disk.unzip();
        let sizes = [
            ("database_bytes", "Bytes of the database", database),
            ("disk_free_bytes", "Free bytes on the disk of the state directory", free),
            ("logs_bytes", "Bytes of logs that are kept", measured.log_bytes),
            ("blobs_bytes", "Bytes of stored files that are kept", measured.blob_bytes),
            ("blobs_limit_bytes", "The limit for the bytes of stored files", Some(measured.blob_quota)),
        ];
        for (name, help, size) in sizes {
            if let Some(size) = size {
                self.gauge(name, help, size);
            }
        }
    }

    /// Adds what the pages' thread counts by itself.
    fn site(&mut self, site: &Site) {
        self.registry.register(
            "hook_deliveries",
            "Deliveries to hooks by the status of the answer",
            site.hooks.answers(),
        );
        self.registry.register("logins_failed", "Logins of browsers that were refused", site.failed_logins.clone());
    }

    fn process(&mut self) {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        self.registry.register(
            "build",
            "The version of this master",
            prometheus_client::metrics::info::Info::new(version),
        );
        let Some(seen) = process::look() else { return };
        let process = self.registry.sub_registry_with_prefix("process");
        let cpu: Counter<f64, AtomicU64> = Counter::default();
        cpu.inc_by(seen.cpu_seconds);
        process.register_with_unit("cpu", "Processor time of this process", Unit::Seconds, cpu);
        for (name, help, value) in [
            ("resident_memory_bytes", "Memory of this process", seen.resident_bytes),
            ("open_fds", "Files that this process has open", seen.open_files),
        ] {
            let gauge: Gauge<u64, AtomicU64> = Gauge::default();
            gauge.set(value);
            process.register(name, help, gauge);
        }
    }
}
