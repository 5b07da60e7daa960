//! JSON as RFC 8259 has it, read by an implementation of our own: the oracle of what the service accepts and how it
//! compares. Knows nothing of the service.

use std::cmp::Ordering;

use super::source::Source;

/// A JSON value.
#[derive(Clone, Debug)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits into 64 bits, with or without a sign.
    Integer(i128),
    /// Any other number: the nearest 64-bit float.
    Float(f64),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object as it is written, repeated names included.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads all of `text`; none if it is not JSON, holds half of a surrogate pair, or a number beyond all floats.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser(text.as_bytes());
        let value = parser.value()?;
        parser.space();
        parser.0.is_empty().then_some(value)
    }

    /// How many objects and arrays stand in one another, this one included.
    pub fn depth(&self) -> usize {
        match self {
            Self::Array(all) => 1 + all.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(all) => 1 + all.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// What stands under a name; of a repeated one the last counts.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The names of an object, each once.
    fn names(&self) -> Vec<&str> {
        let Self::Object(members) = self else { return Vec::new() };
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Equal by value.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            (Self::Object(_), Self::Object(_)) => {
                let names = self.names();
                names == other.names()
                    && names
                        .iter()
                        .all(|name| self.get(name).zip(other.get(name)).is_some_and(|(a, b)| a.equals(b)))
            }
            _ => self.is_number() && self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// The order of two numbers, by value, or of two strings, by bytes.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Integer(a), Self::Float(b)) => Some(integer_with_float(*a, *b)),
            (Self::Float(a), Self::Integer(b)) => Some(integer_with_float(*b, *a).reverse()),
            _ => None,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Integer(_) | Self::Float(_))
    }

    /// A value of small parts, so that two of them often have something in common.
    pub fn choose(source: &mut Source<'_>, depth: usize) -> String {
        const NUMBERS: [&str; 24] = [
            "1",
            "1.0",
            "10e-1",
            "0",
            "-0",
            "0.0",
            "-1",
            "2",
            "1.5",
            "0.1",
            "1e-1",
            "9007199254740992",
            "9007199254740993",
            "9007199254740993.0",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "17976931348623157e292",
            "1.7976931348623157e308",
            "4.9406564584124654e-324",
            "0e999999999999",
        ];
        const TEXTS: [&str; 8] = [
            r#""""#,
            r#""a""#,
            r#""b""#,
            r#""\u0061""#,
            r#""ü""#,
            r#""\u00fc""#,
            r#""\ud83d\ude00""#,
            r#""😀""#,
        ];
        const NAMES: [&str; 6] = [r#""a""#, r#""b""#, r#""a.b""#, r#""""#, r#""\u0061""#, r#""ü""#];
        let space = if source.byte() > 240 { " \n" } else { "" };
        match source.below(if depth > 3 { 6 } else { 8 }) {
            0 | 1 => source.pick(&NUMBERS).into(),
            2 => source.pick(&["null", "true", "false"]).into(),
            3 => source.pick(&TEXTS).into(),
            4 => format!(
                "{}{}.{}e{}",
                source.pick(&["", "-"]),
                source.number(),
                source.number(),
                source.byte()
            ),
            5 => format!("{}{}", source.pick(&["", "-"]), source.number()),
            6 => {
                let all: Vec<_> = (0..source.below(4)).map(|_| Self::choose(source, depth + 1)).collect();
                format!("[{}{space}]", all.join(","))
            }
            _ => {
                let member = |source: &mut Source<'_>| {
                    let name = source.pick(&NAMES);
                    format!("{name}{space}:{}", Self::choose(source, depth + 1))
                };
                let all: Vec<_> = (0..source.below(4)).map(|_| member(source)).collect();
                format!("{{{space}{}}}", all.join(","))
            }
        }
    }
}

/// Compares without rounding either.
fn integer_with_float(integer: i128, float: f64) -> Ordering {
    // No integer of 64 bits is so large.
    if float.abs() >= 2_f64.powi(100) {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    let whole = float.trunc();
    match integer.cmp(&(whole as i128)) {
        Ordering::Equal => 0.0_f64.total_cmp(&(float - whole + 0.0)),
        order => order,
    }
}

struct Parser<'a>(&'a [u8]);

impl Parser<'_> {
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn take(&mut self, word: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    fn value(&mut self) -> Option<Json> {
        self.space();
        match self.0.first()? {
            b'n' => self.take(b"null").map(|()| Json::Null),
            b't' => self.take(b"true").map(|()| Json::Bool(true)),
            b'f' => self.take(b"false").map(|()| Json::Bool(false)),
            b'"' => self.text().map(Json::Text),
            b'[' => {
                let mut all = Vec::new();
                self.list(b'[', b']', |parser| {
                    all.push(parser.value()?);
                    Some(())
                })?;
                Some(Json::Array(all))
            }
            b'{' => {
                let mut all = Vec::new();
                self.list(b'{', b'}', |parser| {
                    parser.space();
                    let name = parser.text()?;
                    parser.space();
                    parser.take(b":")?;
                    all.push((name, parser.value()?));
                    Some(())
                })?;
                Some(Json::Object(all))
            }
            _ => self.number(),
        }
    }

    fn list(&mut self, open: u8, close: u8, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(&[open])?;
        self.space();
        if self.take(&[close]).is_some() {
            return Some(());
        }
        loop {
            member(self)?;
            self.space();
            if self.take(&[close]).is_some() {
                return Some(());
            }
            self.take(b",")?;
        }
    }

    fn digits(&mut self) -> Option<usize> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.0 = &self.0[count..];
        (count > 0).then_some(count)
    }

    fn number(&mut self) -> Option<Json> {
        let all = self.0;
        let _ = self.take(b"-");
        let begins_with_zero = self.0.first() == Some(&b'0');
        if self.digits()? > 1 && begins_with_zero {
            return None;
        }
        let mut is_integer = true;
        if self.take(b".").is_some() {
            is_integer = false;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.0.first() {
            is_integer = false;
            self.0 = &self.0[1..];
            let _ = self.take(b"+").or_else(|| self.take(b"-"));
            self.digits()?;
        }
        let text = std::str::from_utf8(&all[..all.len() - self.0.len()]).ok()?;
        let fits = |n: &i128| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(n);
        match text.parse::<i128>().ok().filter(fits) {
            // Minus zero is a float: as an integer it would lose its sign.
            Some(integer) if is_integer && text != "-0" => Some(Json::Integer(integer)),
            _ => text.parse().ok().filter(|float: &f64| float.is_finite()).map(Json::Float),
        }
    }

    fn text(&mut self) -> Option<String> {
        self.take(b"\"")?;
        let mut text = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return String::from_utf8(text).ok(),
                b'\\' => {
                    let mut utf8 = [0; 4];
                    text.extend_from_slice(self.escaped()?.encode_utf8(&mut utf8).as_bytes());
                }
                0..0x20 => return None,
                byte => text.push(byte),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => match self.hex()? {
                high @ 0xd800..0xdc00 => {
                    self.take(b"\\u")?;
                    let low = self.hex().filter(|low| (0xdc00..0xe000).contains(low))?;
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?
                }
                unit => char::from_u32(unit)?,
            },
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(4)?;
        self.0 = rest;
        digits.iter().try_fold(0, |sum, &digit| Some(sum * 16 + char::from(digit).to_digit(16)?))
    }
}
