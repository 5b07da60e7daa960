//! The words of a text, as they are indexed and searched: lower case, without what every text has, cut to their stems. Knows
//! no index.

mod language;
mod segment;
mod stop_words;

pub use language::Language;
pub use segment::words;
use xxhash_rust::xxh3::Xxh3;

/// The language of a text, and its words in order, without those that every text has.
#[must_use]
pub fn telling_words(text: &str) -> (Language, Vec<String>) {
    let mut words: Vec<String> = words(text).collect();
    let language = Language::of(&words);
    words.retain(|word| !language.is_stop_word(word));
    (language, words)
}

/// The same for texts that differ in case, in spaces and in what they end with, and in nothing else: a sign, a digit or a "not"
/// makes another text of it.
#[must_use]
pub fn gist(text: &str) -> u64 {
    let mut hash = Xxh3::new();
    for word in text
        .trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '!' | ';' | ','))
        .split_whitespace()
    {
        hash.update(word.to_lowercase().as_bytes());
        hash.update(b" ");
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(text: &str) -> Vec<String> {
        let (language, words) = telling_words(text);
        words.iter().map(|word| language.stem(word)).collect()
    }

    #[test]
    fn a_question_keeps_what_it_asks_about() {
        assert_eq!(stems("When did Caroline's dogs go running?"), ["carolin", "dog", "go", "run"]);
        assert_eq!(stems("What is the user's response_length?"), ["user", "respons", "length"]);
        assert!(stems("What did he do?").is_empty() && stems("  ?! ").is_empty());
    }

    #[test]
    fn the_words_of_a_text_tell_its_language() {
        for (text, language, found) in [
            ("Wann hat Anna den Hund adoptiert?", Language::German, vec!["anna", "hund", "adoptiert"]),
            ("¿Cuándo adoptó Ana los perros?", Language::Spanish, vec!["adopt", "ana", "perr"]),
            ("Où est-ce que Marie a adopté le chien ?", Language::French, vec!["mar", "adopt", "chien"]),
            ("Когда Анна взяла собаку?", Language::Russian, vec!["ан", "взял", "собак"]),
        ] {
            assert_eq!(telling_words(text).0, language, "{text}");
            assert_eq!(stems(text), found, "{text}");
        }
    }

    #[test]
    fn what_is_written_without_spaces_is_found_by_pairs() {
        assert_eq!(stems("東京大学へ行く"), ["東京", "京大", "大学", "学へ", "へ行", "行く"]);
        assert_eq!(stems("猫 hates 犬"), ["猫", "hate", "犬"]);
        assert_eq!(stems("서울에서 Rust를"), ["서울", "울에", "에서", "rust", "를"]);
    }

    #[test]
    fn only_texts_that_say_the_same_have_one_gist() {
        assert_eq!(gist("Lunch is at  noon."), gist("lunch is\nat noon!  "));
        for (one, other) in [
            ("Deploys are allowed on Fridays", "Deploys are not allowed on Fridays"),
            ("it is -5 degrees", "it is 5 degrees"),
            ("written in C++", "written in C#"),
            ("Ann owes Bob", "Bob owes Ann"),
            ("Lunch is at noon", "Lunch is at noon?"),
        ] {
            assert_ne!(gist(one), gist(other), "{one}");
        }
    }

    #[test]
    fn accents_and_widths_do_not_tell_words_apart() {
        assert_eq!(stems("Café"), stems("cafe"));
        assert_eq!(stems("Ｆｕｌｌ"), stems("full"));
        assert_eq!(stems("cafe\u{301}"), stems("café"));
    }
}
