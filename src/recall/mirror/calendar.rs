//! Days as people write them, and moments that attributes tell.

use crate::domain::time::Timestamp;

/// In English.
pub const MONTHS: [&str; 12] = [
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
/// What tells a time, beside numbers. In English; of other languages there is no such list.
const TIME_WORDS: [&str; 20] = [
    "yesterday",
    "today",
    "tonight",
    "tomorrow",
    "last",
    "ago",
    "next",
    "week",
    "weekend",
    "month",
    "year",
    "since",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "recently",
];
const DAY_US: i64 = 86_400_000_000;

/// Whether a text says when something was, or will be.
pub fn tells_time(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.any(|word| {
        word.bytes().all(|byte| byte.is_ascii_digit())
            || TIME_WORDS.iter().any(|time| time.len() == word.len() && time.eq_ignore_ascii_case(word))
    })
}

/// As `8 May 2023`, in UTC.
pub fn day(time: Timestamp) -> String {
    let (year, month, day) = date_of(time);
    format!("{day} {} {year}", MONTHS[month as usize - 1])
}

/// Year, month and day in UTC.
pub fn date_of(time: Timestamp) -> (i64, i64, i64) {
    civil(time.as_micros().div_euclid(DAY_US))
}

/// Reads `2023-05-08` as year, month and day.
pub fn date(text: &str) -> Option<(i64, i64, i64)> {
    let mut parts = text.splitn(3, '-');
    let mut number = |width: usize| parts.next().filter(|part| part.len() == width)?.parse::<i64>().ok();
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((year, month, day))
}

/// Reads `2023-05-08`, `2023-05-08T13:56`, with seconds and their fraction, and a zone (`Z`, `+02:00`); without one it is UTC.
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (date, clock) = match text.split_once(['T', 't', ' ']) {
        Some((date, clock)) => (date, clock),
        None => (text, ""),
    };
    let (year, month, day) = self::date(date)?;
    let clock = if clock.is_empty() { 0 } else { clock_us(clock)? };
    Some(Timestamp::from_micros(days(year, month, day) * DAY_US + clock))
}

/// Microseconds since midnight in UTC.
fn clock_us(text: &str) -> Option<i64> {
    let (text, zone_min) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => (&text[..at], zone_min(&text[at..])?),
        None => (text, 0),
    };
    let mut parts = text.split(':');
    let mut two = || parts.next().filter(|part| part.len() >= 2);
    let (hour, minute) = (two()?.parse::<i64>().ok()?, two()?.parse::<i64>().ok()?);
    let second = two().map_or(Some(0.0), |second| second.parse::<f64>().ok())?;
    let fits = (0..24).contains(&hour) && (0..60).contains(&minute) && (0.0..61.0).contains(&second);
    fits.then(|| (hour * 60 + minute - zone_min) * 60_000_000 + (second * 1e6) as i64)
}

fn zone_min(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    let number: i64 = digits.parse().ok().filter(|_| digits.len() == 4)?;
    let minutes = number / 100 * 60 + number % 100;
    Some(if sign == "-" { -minutes } else { minutes })
}

/// Days since 1970 of a day of the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The day of the Gregorian calendar that is so many days after 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_days_are_written() {
        for (text, written, us_of_day) in [
            ("2023-05-08", "8 May 2023", 0),
            ("2023-05-08T13:56:00", "8 May 2023", (13 * 60 + 56) * 60_000_000),
            ("2024-02-29T00:30:01.5Z", "29 February 2024", 1_801_500_000),
            ("2023-12-31T23:30:00-01:00", "1 January 2024", 1_800_000_000),
            ("1969-12-31 23:59", "31 December 1969", (23 * 60 + 59) * 60_000_000),
            ("0001-01-01", "1 January 1", 0),
        ] {
            let time = parse(text).unwrap();
            assert_eq!(day(time), written, "{text}");
            assert_eq!(time.as_micros().rem_euclid(DAY_US), us_of_day, "{text}");
        }
        for bad in
            ["", "yesterday", "2023-13-01", "2023-5-8", "2023-05-08T25:00", "2023-05-08T10:00+x", "20230508"]
        {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
