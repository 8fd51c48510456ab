//! Dates for the template function `strftime_now`, by which some templates tell the model today's date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

struct Date {
    year: i64,
    /// From 0.
    month: usize,
    /// From 1.
    day: u32,
    /// Day of the week, from 0 for Sunday.
    weekday: usize,
    /// From 1.
    day_of_year: u32,
}

/// The date that is `days` days after 1970-01-01, by the Gregorian calendar.
fn date(days: u64) -> Date {
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    // Whole periods of 400 years (146,097 days) are skipped first, so the loop below is short even for a wrong clock.
    let mut year = 1970 + 400 * (days / 146_097) as i64;
    let mut rest = (days % 146_097) as u32;
    while rest >= 365 + u32::from(leap(year)) {
        rest -= 365 + u32::from(leap(year));
        year += 1;
    }
    let day_of_year = rest + 1;
    let lengths = [31, 28 + u32::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while rest >= lengths[month] {
        rest -= lengths[month];
        month += 1;
    }
    // Day 0, 1970-01-01, was a Thursday, which has the number 4.
    Date { year, month, day: rest + 1, weekday: ((days + 4) % 7) as usize, day_of_year }
}

/// Reads a date such as `2026-07-04` or `2026-07-04T12:30:00`, as UTC; `None` if it is not a date from 1970 to 9999.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let (day, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let numbers = |text: &str, mark: char, lengths: [usize; 3]| -> Option<[u64; 3]> {
        let mut parts = text.split(mark);
        let numbers = lengths.map(|length| {
            let part = parts.next().filter(|p| p.len() == length && p.bytes().all(|b| b.is_ascii_digit()));
            part.and_then(|p| p.parse().ok())
        });
        let [Some(a), Some(b), Some(c)] = numbers else { return None };
        parts.next().is_none().then_some([a, b, c])
    };
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock.trim_end_matches('Z'), ':', [2, 2, 2])?;
    if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // The date is found by search. `first` is 1 January of the year or earlier: the leap days until year 9999 and the
    // days of one year are together fewer than 2400.
    let first = (year - 1970) * 365;
    let wanted = |days: &u64| {
        let d = date(*days);
        (d.year, d.month as u64 + 1, u64::from(d.day)) == (year as i64, month, day)
    };
    let days = (first..first + 2400).find(wanted)?;
    Some(UNIX_EPOCH + Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

/// Writes a time in the form that [`parse`] reads.
pub(super) fn print(now: SystemTime) -> String {
    strftime("%FT%T", now).unwrap_or_default()
}

/// Python's `datetime.strftime` with glibc's extensions, for a time without a zone, in UTC and English. A `-` after the
/// percent sign removes leading zeros; a `_` replaces them by spaces.
pub(super) fn strftime(format: &str, now: SystemTime) -> Result<String, String> {
    // A clock before 1970 is wrong; the template then gets 1970-01-01.
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    write(format, since.as_secs(), since.subsec_micros())
}

fn write(format: &str, seconds: u64, micros: u32) -> Result<String, String> {
    let d = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let hour12 = (hour + 11) % 12 + 1;
    let (year, month, weekday) = (d.year as u64, d.month as u64 + 1, d.weekday as u64);
    let day_of_year = u64::from(d.day_of_year) - 1;
    let (iso_year, iso_week) = iso_week(&d);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = chars.next();
        let flag = directive.filter(|c| matches!(c, '-' | '_'));
        if flag.is_some() {
            directive = chars.next();
        }
        let part = |format: &str| write(format, seconds, micros);
        // Writes a number with the given width and fill character, unless a flag changes them.
        let number = |value: u64, width: usize, fill: char| match flag.unwrap_or(fill) {
            '-' => value.to_string(),
            '_' => format!("{value:width$}"),
            _ => format!("{value:0width$}"),
        };
        out += &match directive {
            Some('Y') => number(year, 1, '0'),
            Some('C') => number(year / 100, 2, '0'),
            Some('y') => number(year % 100, 2, '0'),
            Some('G') => number(iso_year, 1, '0'),
            Some('g') => number(iso_year % 100, 2, '0'),
            Some('V') => number(iso_week, 2, '0'),
            Some('U') => number((day_of_year + 7 - weekday) / 7, 2, '0'),
            Some('W') => number((day_of_year + 7 - (weekday + 6) % 7) / 7, 2, '0'),
            Some('u') => number((weekday + 6) % 7 + 1, 1, '0'),
            Some('w') => number(weekday, 1, '0'),
            Some('m') => number(month, 2, '0'),
            Some('d') => number(d.day.into(), 2, '0'),
            Some('e') => number(d.day.into(), 2, '_'),
            Some('j') => number(day_of_year + 1, 3, '0'),
            Some('H') => number(hour, 2, '0'),
            Some('k') => number(hour, 2, '_'),
            Some('I') => number(hour12, 2, '0'),
            Some('l') => number(hour12, 2, '_'),
            Some('M') => number(minute, 2, '0'),
            Some('S') => number(second, 2, '0'),
            Some('s') => number(seconds, 1, '0'),
            Some('f') if flag.is_none() => format!("{micros:06}"),
            Some('B') => MONTHS[d.month].to_owned(),
            Some('b' | 'h') => MONTHS[d.month][..3].to_owned(),
            Some('A') => DAYS[d.weekday].to_owned(),
            Some('a') => DAYS[d.weekday][..3].to_owned(),
            Some('p') => (if hour < 12 { "AM" } else { "PM" }).to_owned(),
            Some('P') => (if hour < 12 { "am" } else { "pm" }).to_owned(),
            Some('F') => part("%Y-%m-%d")?,
            Some('D' | 'x') => part("%m/%d/%y")?,
            Some('T' | 'X') => part("%H:%M:%S")?,
            Some('R') => part("%H:%M")?,
            Some('r') => part("%I:%M:%S %p")?,
            Some('c') => part("%a %b %e %H:%M:%S %Y")?,
            // For a time without a zone, Python writes nothing here.
            Some('Z' | 'z') => String::new(),
            Some('n') => "\n".to_owned(),
            Some('t') => "\t".to_owned(),
            Some('%') => "%".to_owned(),
            other => {
                let name = other.map_or_else(|| "%".to_owned(), |c| format!("%{c}"));
                return Err(format!("strftime_now does not know `{name}`"));
            }
        };
    }
    Ok(out)
}

/// Year and week by ISO 8601: a week begins on Monday, and belongs to the year of its Thursday.
fn iso_week(d: &Date) -> (u64, u64) {
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let (year, day, from_monday) = (d.year as u64, i64::from(d.day_of_year) - 1, (d.weekday as i64 + 6) % 7);
    let thursday = day - from_monday + 3;
    let length = |y: u64| 365 + i64::from(leap(y));
    match thursday {
        t if t < 0 => (year - 1, (t + length(year - 1)) as u64 / 7 + 1),
        t if t >= length(year) => (year + 1, (t - length(year)) as u64 / 7 + 1),
        t => (year, t as u64 / 7 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_python_writes_them() {
        // python3 -c 'from datetime import *; print(datetime.fromtimestamp(N, timezone.utc).strftime(F))'
        let f = "%d %b %Y|%A %B %-d|%y%m%d %j|%I:%M:%S %p|%F %T %a%%";
        assert_eq!(
            write(f, 0, 0).unwrap(),
            "01 Jan 1970|Thursday January 1|700101 001|12:00:00 AM|1970-01-01 00:00:00 Thu%"
        );
        assert_eq!(
            write(f, 1_709_211_599, 0).unwrap(),
            "29 Feb 2024|Thursday February 29|240229 060|12:59:59 PM|2024-02-29 12:59:59 Thu%"
        );
        assert_eq!(
            write(f, 4_102_444_799, 0).unwrap(),
            "31 Dec 2099|Thursday December 31|991231 365|11:59:59 PM|2099-12-31 23:59:59 Thu%"
        );
        assert_eq!(write("%F", 13_574_563_200, 0).unwrap(), "2400-02-29");
        assert!(write("%Q", 0, 0).unwrap_err().contains("%Q"));
        assert!(write("%", 0, 0).is_err());
        // Even an impossible time must not be slow or panic.
        write("%F", u64::MAX, 0).unwrap();
    }
}
