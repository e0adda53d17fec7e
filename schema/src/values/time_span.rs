//! Lengths of time, as people write and read them.

use super::Time;
use std::time::Duration;

const TENTH_MS: u64 = 100;
const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The longest time that is read: a century, which is more than anything waits for.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// A length of time, with the ways in which it is read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

impl TimeSpan {
    /// Reads a text such as `90s` or `1h30m`: numbers with the units `y d h m s ms`, each at most once, the largest first. A year has
    /// 365 days.
    pub fn parse(text: &str) -> Option<TimeSpan> {
        const UNITS: [(&str, u64); 6] =
            [("y", 365 * DAY_MS), ("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)];
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
        (!text.is_empty() && total <= LONGEST).then_some(TimeSpan(total))
    }

    /// Writes the span for a file, such as `90s`, in the largest unit that divides it.
    pub fn written(self) -> String {
        const UNITS: [(u64, &str); 4] = [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s")];
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (size, unit) = UNITS.into_iter().find(|(size, _)| ms.is_multiple_of(*size)).unwrap_or((1, "ms"));
        format!("{}{unit}", ms / size)
    }

    /// Writes how long something took. Below a minute it shows tenths of a second, as `41.4s`, and otherwise seconds, as `1:02:07`.
    pub fn clock(self) -> String {
        let tenths = self.0.saturating_add(Duration::from_millis(TENTH_MS / 2)).as_millis() / u128::from(TENTH_MS);
        if tenths < u128::from(MINUTE_MS / TENTH_MS) {
            return format!("{}.{}s", tenths / 10, tenths % 10);
        }
        let whole = self.0.saturating_add(Duration::from_millis(SECOND_MS / 2)).as_secs();
        match whole / 3_600 {
            0 => format!("{}:{:02}", whole / 60, whole % 60),
            hours => format!("{hours}:{:02}:{:02}", whole / 60 % 60, whole % 60),
        }
    }

    /// Writes the approximate length in one unit, such as `12m`.
    pub fn rough(self) -> String {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => format!("{seconds}s"),
            60..3_600 => format!("{}m", seconds / 60),
            3_600..172_800 => format!("{}h", seconds / 3_600),
            _ => format!("{}d", seconds / 86_400),
        }
    }
}

impl Time {
    /// Writes the distance of this time from `now`, such as `12m ago` or `in 3d`.
    pub fn seen_from(self, now: Time) -> String {
        match now >= self {
            true => format!("{} ago", TimeSpan(now.since(self)).rough()),
            false => format!("in {}", TimeSpan(self.since(now)).rough()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read() {
        let ms = |text| TimeSpan::parse(text).map(|span| span.0.as_millis());
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
    fn what_is_written_is_read_again() {
        for text in ["7d", "25h", "90m", "61s", "1500ms", "0d"] {
            let span = TimeSpan::parse(text).unwrap();
            assert_eq!((span.written().as_str(), TimeSpan::parse(&span.written())), (text, Some(span)));
        }
    }

    /// Five jobs that took 0.07 to 0.2 s are not all shown as `0s`.
    #[test]
    fn lengths_read_as_a_clock() {
        let clock = |ms| TimeSpan(Duration::from_millis(ms)).clock();
        assert_eq!([0, 70, 41_400, 59_949].map(clock), ["0.0s", "0.1s", "41.4s", "59.9s"]);
        assert_eq!([59_950, 185_000, 3_727_000].map(clock), ["1:00", "3:05", "1:02:07"]);
    }

    #[test]
    fn distances_are_rough() {
        let now = Time(1_000_000_000);
        assert_eq!(Time(now.0 - 12 * 60_000).seen_from(now), "12m ago");
        assert_eq!(Time(now.0 + 3 * 86_400_000).seen_from(now), "in 3d");
    }
}
