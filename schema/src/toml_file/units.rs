//! Durations and sizes as people write them.

use std::time::Duration;

/// The longest duration in a file.
const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// `90s`, `1h30m`: numbers with units `y d h m s ms`, each at most once, the largest first. A year has 365 days.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const DAY_MS: u64 = 86_400_000;
    const UNITS: [(&str, u64); 6] =
        [("y", 365 * DAY_MS), ("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total_ms = 0_u64;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|char: char| !char.is_ascii_digit())?);
        let (unit, next) = after.split_at(after.find(|char: char| char.is_ascii_digit()).unwrap_or(after.len()));
        let index = units.iter().position(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(units[index].1)?)?;
        units = &units[index + 1..];
        rest = next;
    }
    let total = Duration::from_millis(total_ms);
    (!text.is_empty() && total <= DURATION_MAX).then_some(total)
}

/// `4GiB`: a number with a unit `B KiB MiB GiB TiB`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit())?);
    let shift = match unit.trim_start() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let ms = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("45m"), Some(2_700_000));
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("90s"), Some(90_000));
        assert_eq!(ms("1s500ms"), Some(1_500));
        assert_eq!(ms("1y1d"), Some(366 * 86_400_000));
        for bad in ["", "5", "m", "30m1h", "1h1h", "-1s", "1.5h", "1 h", "99999999999999999999s", "40000d", "1é"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("4GiB"), Some(4 << 30));
        assert_eq!(parse_bytes("512 MiB"), Some(512 << 20));
        assert_eq!(parse_bytes("7B"), Some(7));
        for bad in ["", "4", "4GB", "GiB", "-1B", "1.5GiB", "99999999999TiB"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }
}
