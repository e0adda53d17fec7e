//! The figures of a run: one JSON object per line. They have the form of the output of BuildBot's harness, so both fit one table.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cell::RefCell;

pub const OWN: &str = "guild";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    pub peer: String,
    pub metric: String,
    pub value: f64,
    pub unit: String,
    /// The number of measured items: the sample size for a percentile, else the size of the work.
    pub n: u64,
    #[serde(default)]
    pub detail: Map<String, Value>,
}

/// `Figures` collects all figures of a run, and prints each at once.
#[derive(Default)]
pub struct Figures(RefCell<Vec<Figure>>);

impl Figures {
    /// Prints and keeps one figure of Guild. `detail` is a JSON object, to which the load average is added.
    pub fn tell(&self, metric: &str, value: f64, unit: &str, n: usize, detail: Value) {
        let mut detail = match detail {
            Value::Object(detail) => detail,
            _ => Map::new(),
        };
        detail.insert("load1".to_owned(), load().into());
        let (value, n) = (five_digits(value), n as u64);
        self.take(Figure { peer: OWN.into(), metric: metric.into(), value, unit: unit.into(), n, detail });
    }

    /// Prints and keeps the median, the 95th percentile and the maximum of times. They are given in seconds and printed in
    /// milliseconds. If there are 1,000 times or more, the 99.9th percentile follows, because the others hide rare delays.
    pub fn tell_ms(&self, metric: &str, seconds: &[f64], detail: &Value) {
        let mut ms: Vec<f64> = seconds.iter().map(|second| second * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        let rare = (ms.len() >= 1_000).then(|| ("p99.9", at(&ms, 0.999)));
        let usual = [("p50", median(&ms)), ("p95", at(&ms, 0.95)), ("max", at(&ms, 1.0))];
        for (name, value) in usual.into_iter().chain(rare) {
            self.tell(&format!("{metric}_{name}"), value, "ms", ms.len(), detail.clone());
        }
    }

    pub fn take(&self, figure: Figure) {
        println!("{}", serde_json::to_string(&figure).expect("a figure is JSON"));
        self.0.borrow_mut().push(figure);
    }

    pub fn all(&self) -> Vec<Figure> {
        self.0.borrow().clone()
    }
}

/// Returns the median of sorted values, or NaN if there are none.
pub fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// Returns the value below which this share (0 to 1) of the sorted values lies, or NaN if there are none.
pub fn at(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|one| one.parse().ok()).unwrap_or(f64::NAN)
}

fn five_digits(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}
