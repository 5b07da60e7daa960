//! Cuts a text into words: letters and digits with what combines with them; where no spaces are written, pairs.

use std::{borrow::Cow, iter::Peekable, str::Chars};

use unicode_normalization::{
    IsNormalized, UnicodeNormalization as _, char::is_combining_mark, is_nfkc_quick,
};

/// The words of a text in lower case. An apostrophe inside a word belongs to it, a final `'s` does not; of what is written
/// without spaces (Chinese, Japanese, Korean, Thai and their neighbours) every two neighbours are a word.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    // Wide and narrow forms, ligatures and composed accents are written in one way.
    let text: Cow<'_, str> = match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfkc().collect()),
    };
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&first) = chars.peek() {
        if is_unspaced(first) {
            pairs(&mut chars, &mut words);
        } else if is_word(first) {
            words.push(word(&mut chars));
        } else {
            chars.next();
        }
    }
    words.into_iter()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Written without spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' // Thai, Lao
        | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' // Burmese, Khmer
        | '\u{3040}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' // Kana
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}' // Han
        | '\u{1100}'..='\u{11FF}' | '\u{AC00}'..='\u{D7AF}' // Hangul: spaces are there, but particles stick to words
    ) && is_word(c)
}

fn word(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::new();
    while let Some(&c) = chars.peek() {
        if is_word(c) && !is_unspaced(c) {
            word.extend(c.to_lowercase());
        } else if matches!(c, '\'' | '’') {
            let mut ahead = chars.clone();
            ahead.next();
            if !ahead.peek().is_some_and(|&next| is_word(next) && !is_unspaced(next)) || word.is_empty() {
                break;
            }
            word.push('\'');
        } else {
            break;
        }
        chars.next();
    }
    if let Some(owner) = word.strip_suffix("'s") {
        word.truncate(owner.len());
    }
    word
}

fn pairs(chars: &mut Peekable<Chars<'_>>, words: &mut Vec<String>) {
    let mut run = Vec::new();
    while let Some(c) = chars.next_if(|&c| is_unspaced(c)) {
        run.push(c);
    }
    match run.as_slice() {
        [one] => words.push(one.to_string()),
        run => words.extend(run.windows(2).map(|pair| pair.iter().collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let all = |text| words(text).collect::<Vec<_>>();
        assert_eq!(
            all("Don't stop: K8s-v1.2, O’Brien's 'x'"),
            ["don't", "stop", "k8s", "v1", "2", "o'brien", "x"]
        );
        assert_eq!(all("हिन्दी में"), ["हिन्दी", "में"]);
        assert!(all("_ -- '").is_empty());
    }
}
