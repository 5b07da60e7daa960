//! BERT's tokens of a text: lower case, without accents, each word cut into the longest pieces that the vocabulary has (WordPiece,
//! Schuster and Nakajima 2012; as `BertTokenizer` with `do_lower_case` does it). An own one, because those of libraries keep the
//! place of every piece and are many times slower, and every entry passes here when a mirror is loaded.

use std::collections::HashMap;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// Longer words are unknown.
const WORD_CHARS_MAX: usize = 100;

/// Which pieces there are.
pub(super) struct Vocabulary {
    /// Pieces that begin a word, and those that go on with one.
    first: HashMap<&'static str, u32, Xxh3DefaultBuilder>,
    rest: HashMap<&'static str, u32, Xxh3DefaultBuilder>,
    unknown: u32,
}

impl Vocabulary {
    /// A piece a line; its number is the line's, from 0.
    pub fn read(file: &'static str) -> Self {
        let (mut first, mut rest): (HashMap<_, _, Xxh3DefaultBuilder>, HashMap<_, _, _>) = Default::default();
        for (number, piece) in file.lines().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            match piece.strip_prefix("##") {
                Some(piece) if !piece.is_empty() => rest.insert(piece, number),
                _ => first.insert(piece, number),
            };
        }
        let unknown = first.get("[UNK]").copied().unwrap_or(u32::MAX);
        Self { first, rest, unknown }
    }

    /// Hands out the tokens of a text in order.
    pub fn tokens(&self, text: &str, mut take: impl FnMut(u32)) {
        let mut word = String::new();
        let mut end = |word: &mut String| {
            if !word.is_empty() {
                self.pieces(word, &mut take);
                word.clear();
            }
        };
        let mut each = |c: char| {
            if c.is_whitespace() {
                end(&mut word);
            } else if is_ideograph(c) || !(c.is_alphanumeric() || is_symbol(c)) {
                end(&mut word);
                word.push(c);
                end(&mut word);
            } else {
                word.push(c);
            }
        };
        if text.is_ascii() {
            text.chars()
                .filter(|c| !c.is_control() || c.is_whitespace())
                .for_each(|c| each(c.to_ascii_lowercase()));
        } else {
            let kept = text.chars().filter(|c| !(c.is_control() && !c.is_whitespace() || *c == '\u{FFFD}'));
            kept.flat_map(char::to_lowercase).nfd().filter(|&c| !is_combining_mark(c)).for_each(&mut each);
        }
        end(&mut word);
    }

    fn pieces(&self, word: &str, take: &mut impl FnMut(u32)) {
        if let Some(whole) = self.first.get(word) {
            return take(*whole);
        }
        if word.chars().count() > WORD_CHARS_MAX {
            return take(self.unknown);
        }
        let mut pieces = Vec::new();
        let mut begin = 0;
        while begin < word.len() {
            let known = if begin == 0 { &self.first } else { &self.rest };
            let ends = word[begin..].char_indices().rev().map(|(at, c)| begin + at + c.len_utf8());
            let longest = ends.into_iter().find_map(|end| Some((end, *known.get(&word[begin..end])?)));
            // A word of which one piece is unknown is unknown as a whole.
            let Some((end, piece)) = longest else { return take(self.unknown) };
            pieces.push(piece);
            begin = end;
        }
        pieces.into_iter().for_each(take);
    }
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{2FA1F}')
}

/// What stays inside a word although it is no letter: signs beyond ASCII that are no punctuation (currency, arrows, emoji).
fn is_symbol(c: char) -> bool {
    !c.is_ascii()
        && !matches!(c,
            '\u{A1}' | '\u{A7}' | '\u{AB}' | '\u{B6}' | '\u{B7}' | '\u{BB}' | '\u{BF}'
            | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{2043}' | '\u{2045}'..='\u{2051}' | '\u{2053}'..='\u{205E}'
            | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301F}' | '\u{30FB}'
            | '\u{FF01}'..='\u{FF03}' | '\u{FF05}'..='\u{FF0A}' | '\u{FF0C}'..='\u{FF0F}' | '\u{FF1A}' | '\u{FF1B}'
            | '\u{FF1F}' | '\u{FF20}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<u32> {
        let vocabulary = Vocabulary::read(include_str!("../../../assets/minilm-static-256/vocab.txt"));
        let mut tokens = Vec::new();
        vocabulary.tokens(text, |token| tokens.push(token));
        tokens
    }

    #[test]
    fn tokens_are_those_of_bert() {
        assert_eq!(
            tokens("Caroline: I adopted a puppy yesterday"),
            [7981, 1024, 1045, 4233, 1037, 17022, 7483]
        );
    }
}
