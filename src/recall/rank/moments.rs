//! Days, months and years that a question names, so that what happened then is found. In English words, and as numbers
//! (`2023-05-08`) in any language.

use crate::{domain::time::Timestamp, recall::mirror::calendar};

/// A day, a month or a year; what is not said is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
}

impl Moment {
    /// All that a text names, in its order.
    pub fn all_in(text: &str) -> Vec<Self> {
        let is_part = |c: char| c.is_alphanumeric() || c == '-';
        let words: Vec<&str> = text.split(|c: char| !is_part(c)).filter(|word| !word.is_empty()).collect();
        let mut moments = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let (moment, taken) = Self::first_of(&words, at);
            moments.extend(moment);
            at += taken.max(1);
        }
        moments
    }

    /// What the words from `at` on name, and how many of them.
    fn first_of(words: &[&str], at: usize) -> (Option<Self>, usize) {
        let word = words[at];
        if let Some((year, month, day)) = calendar::date(word) {
            return (Some(Self { year: Some(year), month: Some(month), day: Some(day) }), 1);
        }
        let get = |after: usize| words.get(at + after).copied().unwrap_or_default();
        if let Some(day) = day(word) {
            let of = usize::from(get(1).eq_ignore_ascii_case("of"));
            if let Some(month) = month(get(1 + of)) {
                let year = year(get(2 + of));
                return (
                    Some(Self { year, month: Some(month), day: Some(day) }),
                    2 + of + usize::from(year.is_some()),
                );
            }
        }
        if let Some(month) = month(word) {
            let day = day(get(1));
            let year = year(get(1 + usize::from(day.is_some())));
            // "may" and "march" alone are more often words.
            let is_name = word.starts_with(char::is_uppercase) && at > 0 || !matches!(month, 3 | 5);
            if day.is_some() || year.is_some() || is_name {
                let taken = 1 + usize::from(day.is_some()) + usize::from(year.is_some());
                return (Some(Self { year, month: Some(month), day }), taken);
            }
        }
        (year(word).map(|year| Self { year: Some(year), month: None, day: None }), 1)
    }

    /// How well a time fits: 1 for a day or a month that is named, half for a year alone.
    pub fn fit(self, time: Timestamp) -> f32 {
        let (year, month, day) = calendar::date_of(time);
        let same = |named: Option<i64>, is: i64| named.is_none_or(|named| named == is);
        match same(self.year, year) && same(self.month, month) && same(self.day, day) {
            true if self.month.is_some() => 1.0,
            true => 0.5,
            false => 0.0,
        }
    }
}

/// Whether a question asks for a time. In English; of other languages it is not known.
pub fn asks_when(text: &str) -> bool {
    let words: Vec<String> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect();
    let pair = |first: &[&str], second: &[&str]| {
        words.windows(2).any(|pair| first.contains(&&*pair[0]) && second.contains(&&*pair[1]))
    };
    words.first().is_some_and(|first| first == "when")
        || pair(&["how"], &["long"])
        || pair(&["what", "which"], &["date", "day", "week", "month", "year", "time"])
}

fn day(word: &str) -> Option<i64> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_ordinal = matches!(&word[digits.len()..], "" | "st" | "nd" | "rd" | "th");
    digits.parse().ok().filter(|day| is_ordinal && (1..=31).contains(day) && digits.len() <= 2)
}

fn month(word: &str) -> Option<i64> {
    let month = calendar::MONTHS.iter().position(|month| month.eq_ignore_ascii_case(word))?;
    Some(month as i64 + 1)
}

fn year(word: &str) -> Option<i64> {
    word.parse().ok().filter(|year| (1900..2100).contains(year) && word.len() == 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_fits_what_happened_then() {
        let time = |text| calendar::parse(text).unwrap();
        for (question, fits, fails) in [
            ("What happened on 8 May 2023?", "2023-05-08T10:00", "2023-05-09"),
            ("on May 8th, 2023", "2023-05-08", "2022-05-08"),
            ("the 8th of May", "1999-05-08", "2023-06-08"),
            ("in May?", "2023-05-31", "2023-06-01"),
            ("2023-05-08 notes", "2023-05-08", "2023-05-07"),
            ("since March 2024 or so", "2024-03-02", "2024-04-02"),
        ] {
            let moments = Moment::all_in(question);
            assert_eq!(moments.len(), 1, "{question}: {moments:?}");
            assert_eq!((moments[0].fit(time(fits)), moments[0].fit(time(fails))), (1.0, 0.0), "{question}");
        }
        assert_eq!(Moment::all_in("all of 2023")[0].fit(time("2023-01-01")), 0.5);
        assert!(asks_when("When was it?") && asks_when("Since what year, and how LONG?"));
        assert!(!asks_when("What happened when it rained?") && !asks_when(""));
        for nothing in ["may I march on?", "version 12", "8 apples", "in 1850", "May we?"] {
            assert!(Moment::all_in(nothing).is_empty(), "{nothing}");
        }
    }
}
