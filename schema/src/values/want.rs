//! The language of a job's `want` and a pool's `match`, such as `gpu`, `python=3.14`, `memory>=4GiB` and `cpus>=2`.

use super::{Bytes, Resources};

/// One demand on a worker: its text as somebody wrote it, and its meaning. Wants are ordered by their text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Want {
    text: String,
    asks: Asks,
}

/// The meaning of a want.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// The worker must have a label with this name. If the want names a value, the label must have exactly this value.
    Label {
        /// The name of the label.
        name: String,
        /// The value that the label must have. `None` means any value.
        value: Option<String>,
    },
    /// The whole room of the worker must be at least this large.
    Room(Resources),
    /// The want makes no sense, so no worker matches it. Pipelines with such a want are refused, but a plan that an earlier version
    /// stored may have one.
    Unknown,
}

impl Want {
    /// Reads the text of a want in a pipeline. `None` means that the text is neither a label nor a size, and must be refused.
    pub fn parse(text: &str) -> Option<Want> {
        let is_label = |name: &str| !name.is_empty() && !name.contains(['<', '>', ' ', '\t', '\n']);
        let is_good = match (text.split_once(">="), text.split_once('=')) {
            (Some(("memory", least)), _) => Bytes::parse(least).is_some(),
            (Some(("cpus", least)), _) => least.parse::<f64>().is_ok_and(|least| least > 0.0 && least.is_finite()),
            (Some(_), _) => false,
            (None, Some((name, value))) => is_label(name) && !value.trim().is_empty(),
            (None, None) => is_label(text),
        };
        is_good.then(|| Want::read(text))
    }

    /// Reads the text of a stored want. It refuses nothing, because an earlier version may have accepted the text.
    pub fn read(text: &str) -> Want {
        let label = |name: &str, value: Option<&str>| Asks::Label {
            name: name.trim().to_owned(),
            value: value.map(|value| value.trim().to_owned()),
        };
        let asks = match (text.split_once(">="), text.split_once('=')) {
            (Some((name, least)), _) => least_room(name.trim(), least.trim()).map_or(Asks::Unknown, Asks::Room),
            (None, Some((name, value))) => label(name, Some(value)),
            (None, None) => label(text, None),
        };
        Want { text: text.to_owned(), asks }
    }

    /// Returns the text as somebody wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the meaning of the want.
    pub fn asks(&self) -> &Asks {
        &self.asks
    }

    /// Whether a worker of this size and with these labels meets the want.
    pub fn matches(&self, total: &Resources, labels: &[(String, String)]) -> bool {
        match &self.asks {
            Asks::Label { .. } => self.label_in(labels).is_some(),
            Asks::Room(least) => total.holds(least),
            Asks::Unknown => false,
        }
    }

    /// Returns the first of `labels` that meets the want. `None` if there is none, or if the want is not about a label.
    pub fn label_in<'l>(&self, labels: &'l [(String, String)]) -> Option<&'l (String, String)> {
        let Asks::Label { name, value } = &self.asks else { return None };
        labels.iter().find(|(label, has)| label == name && value.as_ref().is_none_or(|value| has == value))
    }
}

/// Returns the room that `memory>=4GiB` or `cpus>=2` demands. `None` for any other name, because only these two can be compared.
fn least_room(name: &str, least: &str) -> Option<Resources> {
    match name {
        "memory" => Some(Resources { memory: bytes(least)?, ..Resources::default() }),
        "cpus" => {
            let cores = least.parse::<f64>().ok().filter(|cores| *cores >= 0.0)?;
            // a worker's cores are counted in whole thousandths, so a fraction of one is rounded up
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
            Some(Resources { cpus_milli: (cores * 1000.0).ceil() as u32, ..Resources::default() })
        }
        _ => None,
    }
}

/// Reads a size such as "4GiB". A number without a unit counts bytes.
fn bytes(text: &str) -> Option<u64> {
    Bytes::parse(text).map(|bytes| bytes.0).or_else(|| text.parse::<u64>().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(cpus_milli: u32, memory: u64) -> Asks {
        Asks::Room(Resources { cpus_milli, memory, ..Resources::default() })
    }

    fn label(name: &str, value: Option<&str>) -> Asks {
        Asks::Label { name: name.to_owned(), value: value.map(str::to_owned) }
    }

    #[test]
    fn what_may_be_asked_for_means_what_it_says() {
        for (text, asks) in [
            ("gpu", label("gpu", None)),
            ("python=3.14", label("python", Some("3.14"))),
            ("python= 3.14", label("python", Some("3.14"))),
            ("expr=a=b", label("expr", Some("a=b"))),
            ("memory>=4GiB", room(0, 4 << 30)),
            ("memory>=4 GiB", room(0, 4 << 30)),
            ("cpus>=2", room(2_000, 0)),
            ("cpus>=0.0001", room(1, 0)),
        ] {
            assert_eq!(Want::parse(text).map(|want| want.asks), Some(asks), "{text}");
        }
    }

    #[test]
    fn what_asks_for_nothing_is_refused_and_read_all_the_same() {
        for (text, asks) in [
            ("", label("", None)),
            ("two words", label("two words", None)),
            (" gpu", label("gpu", None)),
            ("gpu=", label("gpu", Some(""))),
            ("gpu<=3", label("gpu<", Some("3"))),
            ("licences>=3", Asks::Unknown),
            ("cpus>=many", Asks::Unknown),
            ("cpus>=-1", Asks::Unknown),
            ("cpus>=0", room(0, 0)),
            ("memory>=4 parsecs", Asks::Unknown),
            ("memory >= 100", room(0, 100)),
        ] {
            assert_eq!(Want::parse(text), None, "{text}");
            assert_eq!(Want::read(text).asks, asks, "{text}");
        }
    }

    #[test]
    fn a_worker_has_it_or_not() {
        let total = Resources { slots: 1, cpus_milli: 4_000, memory: 8 << 30 };
        let labels = [("gpu".to_owned(), "old".to_owned()), ("disk".to_owned(), "fast".to_owned())];
        let has = |text: &str| Want::read(text).matches(&total, &labels);
        assert!(["gpu", "gpu=old", "disk=fast", "cpus>=4", "memory>=8GiB"].into_iter().all(has));
        assert!(!["tpu", "gpu=new", "cpus>=4.001", "memory>=9GiB", "licences>=0"].into_iter().any(has));
    }
}
