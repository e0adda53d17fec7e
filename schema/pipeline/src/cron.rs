//! The entries `[trigger.cron.NAME]`, by which the clock asks for builds. [`CronTimes`] computes when an entry fires. It is pure, so
//! the current time is an argument.
//!
//! The time zones are part of the program and do not come from the machine. So `guild check` and the master always agree.

use crate::limits::CRON_TEXT_MAX;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use schema::values::Time;
use std::cmp::Ordering;
use toml_file::{Value, nearest};

/// The time zone of an entry that names none.
pub(super) const UTC: &str = "UTC";

/// An entry of `[trigger.cron]`. Its expression and its zone were checked when the file was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CronEntry {
    pub name: String,
    /// The expression with five fields, as in a crontab.
    pub at: String,
    /// The time zone, as a name of the IANA database.
    pub tz: String,
    /// The short name of the branch that is built. `None` means the default branch of the repository.
    pub branch: Option<String>,
    /// Whether the entry builds only if the branch has moved since the last build that the entry made.
    pub if_changed: bool,
}

/// The moments that an expression names in a time zone.
///
/// The expression is about the local time of the zone. A time that does not exist, because the clock is put forward, means the first
/// moment after the gap. A time that exists twice, because the clock is put back, means the first of the two.
#[derive(Clone, Debug)]
pub struct CronTimes {
    expression: croner::Cron,
    zone: TimeZone,
}

/// The reason why a text is not a cron expression or a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronMistake {
    /// The expression is wrong. The text is the error of the library croner.
    Expression(String),
    Never,
    Zone,
}

impl CronTimes {
    pub fn new(at: &str, tz: &str) -> Result<CronTimes, CronMistake> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let expression = parser.parse(at).map_err(|error| CronMistake::Expression(words(error)))?;
        let zone = TimeZoneDatabase::bundled().get(tz).map_err(|_| CronMistake::Zone)?;
        let times = CronTimes { expression, zone };
        times.next(Time(0)).map(|_| times.clone()).ok_or(CronMistake::Never)
    }

    /// Returns the first moment after `after`. `None` means that there is none within the years of the calendar.
    pub fn next(&self, after: Time) -> Option<Time> {
        let after = Timestamp::from_millisecond(i64::try_from(after.0).ok()?).ok()?;
        let mut wall = Wall(self.zone.to_datetime(after));
        loop {
            wall = self.expression.find_next_occurrence(&wall, false).ok()?;
            // after the clock was put back, a later local time can be an earlier moment
            let moment = self.moment(wall.0)?;
            if moment > after {
                return Some(Time(u64::try_from(moment.as_millisecond()).ok()?));
            }
        }
    }

    /// Returns a moment in the local time of the zone, to the minute, with the name of the zone.
    pub fn shown(&self, time: Time) -> String {
        let time = Timestamp::from_millisecond(i64::try_from(time.0).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
        let wall = self.zone.to_datetime(time).strftime("%Y-%m-%d %H:%M");
        format!("{wall} {}", self.zone.iana_name().unwrap_or(UTC))
    }

    fn moment(&self, wall: DateTime) -> Option<Timestamp> {
        let moment = self.zone.to_ambiguous_timestamp(wall);
        let AmbiguousOffset::Gap { .. } = moment.offset() else { return moment.earlier().ok() };
        // `later` is as far after the gap as `wall` is after the beginning of the gap, which may be not at all
        let behind = moment.later().ok()?.checked_add(jiff::SignedDuration::from_secs(1)).ok()?;
        self.zone.preceding(behind).next().map(|change| change.timestamp())
    }
}

/// Returns croner's error about an expression, in a form that fits into a sentence.
fn words(error: CronError) -> String {
    let text = match error {
        CronError::InvalidPattern(text) | CronError::IllegalCharacters(text) | CronError::ComponentError(text) => text,
        CronError::EmptyPattern
        | CronError::InvalidDate
        | CronError::InvalidTime
        | CronError::TimeSearchLimitExceeded => error.to_string(),
    };
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// A local time without a zone. So croner sees each time exactly once.
#[derive(Clone, Copy)]
struct Wall(DateTime);

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let unsigned = |part: i8| u32::try_from(part).unwrap_or_default();
        let (date, time) = (self.0.date(), self.0.time());
        let (year, month, day) = (i32::from(date.year()), unsigned(date.month()), unsigned(date.day()));
        let date = CivilDate::from_ymd_opt(year, month, day);
        let time = CivilTime::from_hms_opt(unsigned(time.hour()), unsigned(time.minute()), unsigned(time.second()));
        CivilDateTime::new(date.expect("jiff's dates exist"), time.expect("jiff's times exist"))
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::try_from(self.0.weekday().to_sunday_zero_offset()).unwrap_or_default())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Wall>, CronError> {
        let part = |part: u32| i8::try_from(part).map_err(|_| CronError::InvalidTime);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let (hour, minute, second) = (part(civil.hour())?, part(civil.minute())?, part(civil.second())?);
        DateTime::new(year, part(civil.month())?, part(civil.day())?, hour, minute, second, 0)
            .map(|wall| Resolution::Single(Wall(wall)))
            .map_err(|_| CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Wall> {
        self.0.checked_add(jiff::SignedDuration::from_secs(seconds)).ok().map(Wall)
    }

    fn cmp_instant(&self, other: &Wall) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// Reads an expression. It does not check whether a time of the expression ever comes.
pub(super) fn at(value: &Value<'_>) -> Option<String> {
    let text = short(value)?;
    if let Err(CronMistake::Expression(why)) = CronTimes::new(&text, UTC) {
        let help = "write five fields: minute, hour, day of the month, month, weekday; \"30 2 * * mon-fri\"";
        value.refuse(format_args!("is not a valid time: {why}"), "", help);
        return None;
    }
    Some(text)
}

pub(super) fn tz(value: &Value<'_>) -> Option<String> {
    let text = short(value)?;
    let database = TimeZoneDatabase::bundled();
    if let Some(zone) = database.get(&text).ok().and_then(|zone| zone.iana_name().map(str::to_owned)) {
        return Some(zone);
    }
    let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
    let near = nearest(&text, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
    let help = near.unwrap_or_else(|| "use a name of the IANA database, as \"Europe/Berlin\" or \"UTC\"".to_owned());
    value.refuse("is not a time zone", "", help);
    None
}

/// Reads the short name of one branch.
pub(super) fn branch(value: &Value<'_>) -> Option<String> {
    let text = short(value)?;
    if text.contains(['*', '?', '[', '{']) {
        value.refuse(
            "must be one branch, and not a pattern",
            "",
            "write an entry for each branch, in the guild.toml of that branch",
        );
        return None;
    }
    if let Some(name) = text.strip_prefix("refs/heads/") {
        value.refuse("must be the short name of a branch", "", format!("write `{name}`"));
        return None;
    }
    Some(text)
}

fn short(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.value;
    if text.len() > CRON_TEXT_MAX {
        value.refuse(format_args!("has {} bytes, but only {CRON_TEXT_MAX} are allowed", text.len()), "", "");
        return None;
    }
    Some(text)
}
