//! `strftime_now`: some templates tell the model today's date.

use minijinja::{Error, ErrorKind, Value};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

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

/// The template function for the given time. Times are in UTC.
pub(super) fn strftime_now(now: SystemTime) -> Value {
    // A clock before 1970 is a broken one; the epoch is as good a date as any.
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Value::from_function(move |format: &str| strftime(format, seconds))
}

struct Date {
    year: i64,
    /// From 0.
    month: usize,
    /// From 1.
    day: u32,
    /// From 0 for Sunday.
    weekday: usize,
    /// From 1.
    day_of_year: u32,
}

/// The date of a day counted from 1970-01-01, by the Gregorian calendar.
fn date(days: u64) -> Date {
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    // 400 years have 146,097 days, so the loop below is short whatever the clock says.
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
    // 1970-01-01 was a Thursday.
    Date { year, month, day: rest + 1, weekday: ((days + 4) % 7) as usize, day_of_year }
}

/// Python's `datetime.strftime` for the directives that make sense without a time zone. `-` after the
/// percent sign drops a leading zero.
fn strftime(format: &str, seconds: u64) -> Result<String, Error> {
    let d = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let hour12 = (hour + 11) % 12 + 1;
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = chars.next();
        let bare = directive == Some('-');
        if bare {
            directive = chars.next();
        }
        let mut number = |value: u64, width: usize| {
            let width = if bare { 0 } else { width };
            write!(out, "{value:0width$}").map_err(Error::from)
        };
        match directive {
            Some('Y') => number(d.year as u64, 4)?,
            Some('y') => number(d.year as u64 % 100, 2)?,
            Some('m') => number(d.month as u64 + 1, 2)?,
            Some('d') => number(d.day.into(), 2)?,
            Some('j') => number(d.day_of_year.into(), 3)?,
            Some('H') => number(hour, 2)?,
            Some('I') => number(hour12, 2)?,
            Some('M') => number(minute, 2)?,
            Some('S') => number(second, 2)?,
            Some('B') => out.push_str(MONTHS[d.month]),
            Some('b') => out.push_str(&MONTHS[d.month][..3]),
            Some('A') => out.push_str(DAYS[d.weekday]),
            Some('a') => out.push_str(&DAYS[d.weekday][..3]),
            Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Some('F') => out.push_str(&strftime("%Y-%m-%d", seconds)?),
            Some('T') => out.push_str(&strftime("%H:%M:%S", seconds)?),
            Some('%') => out.push('%'),
            other => {
                let name = other.map_or_else(|| "%".to_owned(), |c| format!("%{c}"));
                return Err(Error::new(ErrorKind::InvalidOperation, format!("strftime_now does not know `{name}`")));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_python_writes_them() {
        // python3 -c 'from datetime import *; print(datetime.fromtimestamp(N, timezone.utc).strftime(F))'
        let f = "%d %b %Y|%A %B %-d|%y%m%d %j|%I:%M:%S %p|%F %T %a%%";
        assert_eq!(
            strftime(f, 0).unwrap(),
            "01 Jan 1970|Thursday January 1|700101 001|12:00:00 AM|1970-01-01 00:00:00 Thu%"
        );
        assert_eq!(
            strftime(f, 1_709_211_599).unwrap(),
            "29 Feb 2024|Thursday February 29|240229 060|12:59:59 PM|2024-02-29 12:59:59 Thu%"
        );
        assert_eq!(
            strftime(f, 4_102_444_799).unwrap(),
            "31 Dec 2099|Thursday December 31|991231 365|11:59:59 PM|2099-12-31 23:59:59 Thu%"
        );
        assert_eq!(strftime("%F", 13_574_563_200).unwrap(), "2400-02-29");
        assert!(strftime("%Q", 0).unwrap_err().to_string().contains("%Q"));
        assert!(strftime("%", 0).is_err());
        // No clock can make it slow or panic.
        strftime("%F", u64::MAX).unwrap();
    }
}
