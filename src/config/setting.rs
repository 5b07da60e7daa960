//! The catalogue of settings: names, texts, defaults and what each takes. Does not know where values come from.

use std::fmt;

use documented::{Documented, DocumentedFields};
use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::{
    Config,
    bus::Bus,
    error::{Error, Origin},
    http::Http,
    lanes::Lanes,
    limits::Limits,
    log::Log,
    recall::Recall,
    retention::Retention,
    server::Server,
    store::Store,
    transport::Transport,
    watch::Watch,
};

/// What a setting takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allowed {
    /// True or false.
    Boolean,
    /// An integer between these two, both included.
    Integer(u64, u64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A text for which the function holds, said in words.
    Text(&'static str, fn(&str) -> bool),
    /// As a text; the value is never shown, and may be given as the name of a file that holds it.
    Secret(&'static str, fn(&str) -> bool),
}

/// A section: a struct whose fields are settings.
pub(super) trait Section:
    Default + Serialize + DeserializeOwned + Documented + DocumentedFields
{
    /// Its name in the file.
    const NAME: &'static str;
    /// What each field takes. A test checks that no field is missing.
    const ALLOWED: &'static [(&'static str, Allowed)];
}

/// What there is to say of one section.
pub(super) struct SectionEntry {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) settings: Vec<Setting>,
}

/// What there is to say of one setting.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) doc: &'static str,
    pub(super) default: Value,
    pub(super) allowed: Allowed,
}

/// Every section with its settings, in the order of the reference.
pub(super) fn catalog() -> Vec<SectionEntry> {
    vec![
        entry::<Server>(),
        entry::<Http>(),
        entry::<Transport>(),
        entry::<Store>(),
        entry::<Bus>(),
        entry::<Lanes>(),
        entry::<Watch>(),
        entry::<Recall>(),
        entry::<Retention>(),
        entry::<Limits>(),
        entry::<Log>(),
    ]
}

fn entry<S: Section>() -> SectionEntry {
    let defaults = table_of(&S::default());
    let setting = |(&key, &doc): (&&'static str, &&'static str)| Setting {
        section: S::NAME,
        key,
        doc,
        default: defaults[key].clone(),
        allowed: allowed_of::<S>(key),
    };
    let settings = S::FIELD_NAMES.iter().zip(S::FIELD_DOCS).map(setting).collect();
    SectionEntry { name: S::NAME, doc: S::DOCS, settings }
}

fn allowed_of<S: Section>(key: &str) -> Allowed {
    let row = S::ALLOWED.iter().find(|(name, _)| *name == key);
    row.expect("every field has a row in ALLOWED: a test checks it").1
}

/// The settings as TOML: a table of tables.
pub(super) fn to_table(config: &Config) -> Table {
    table_of(config)
}

fn table_of<T: Serialize>(value: &T) -> Table {
    Table::try_from(value).expect("sections hold only booleans, integers and texts")
}

impl Setting {
    /// `server.listen`.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// `SWARMEM_SERVER_LISTEN`.
    pub(super) fn variable(&self) -> String {
        format!("SWARMEM_{}_{}", self.section, self.key).to_uppercase()
    }

    /// What one of the value is, by the last word of the name.
    pub(super) fn unit(&self) -> Option<&'static str> {
        match self.allowed {
            Allowed::Integer(..) if self.key.ends_with("_ms") => Some("milliseconds"),
            Allowed::Integer(..) if self.key.ends_with("_s") => Some("seconds"),
            Allowed::Integer(..) if self.key.contains("bytes") => Some("bytes"),
            _ => None,
        }
    }

    /// Reads a value from a variable or a flag. What does not parse stays text, for `check` to refuse.
    pub(super) fn parse(&self, text: &str) -> Value {
        let parsed = match self.allowed {
            Allowed::Boolean => text.parse().ok().map(Value::Boolean),
            Allowed::Integer(..) => text.parse().ok().map(Value::Integer),
            Allowed::OneOf(_) | Allowed::Text(..) | Allowed::Secret(..) => None,
        };
        parsed.unwrap_or_else(|| Value::String(text.to_owned()))
    }

    /// Whether its value is not to be seen.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.allowed, Allowed::Secret(..))
    }

    /// Refuses what the setting does not take.
    pub(super) fn check(&self, value: &Value, origin: impl FnOnce() -> Origin) -> Result<(), Error> {
        if self.allowed.takes(value) {
            return Ok(());
        }
        Err(Error::Invalid {
            name: self.name(),
            value: if self.is_secret() { "(not shown)".to_owned() } else { value.to_string() },
            origin: origin(),
            allowed: self.allowed.to_string(),
        })
    }
}

impl Allowed {
    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Boolean, Value::Boolean(_)) => true,
            (Self::Integer(min, max), Value::Integer(value)) => {
                u64::try_from(*value).is_ok_and(|value| (min..=max).contains(&value))
            }
            (Self::OneOf(words), Value::String(value)) => words.contains(&value.as_str()),
            (Self::Text(_, holds) | Self::Secret(_, holds), Value::String(value)) => holds(value),
            _ => false,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => write!(f, "true or false"),
            Self::Integer(min, max) => write!(f, "an integer from {min} to {max}"),
            Self::OneOf(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                write!(f, "{}", quoted.join(" or "))
            }
            Self::Text(words, _) | Self::Secret(words, _) => write!(f, "{words}"),
        }
    }
}

/// A text that may be empty to mean "none". For `#[serde(with = "optional")]`.
pub(super) mod optional {
    use serde::{
        Deserialize, Deserializer, Serialize, Serializer,
        de::{DeserializeOwned, IntoDeserializer as _},
    };

    pub(in crate::config) fn serialize<T, S>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
        S: Serializer,
    {
        match value {
            Some(value) => value.serialize(serializer),
            None => "".serialize(serializer),
        }
    }

    pub(in crate::config) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: DeserializeOwned,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() { Ok(None) } else { T::deserialize(text.into_deserializer()).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_match_fields<S: Section>() {
        let rows: Vec<&str> = S::ALLOWED.iter().map(|(name, _)| *name).collect();
        assert_eq!(rows, S::FIELD_NAMES, "[{}]: ALLOWED must list the fields in order", S::NAME);
    }

    #[test]
    fn every_field_says_what_it_takes() {
        rows_match_fields::<Server>();
        rows_match_fields::<Http>();
        rows_match_fields::<Transport>();
        rows_match_fields::<Store>();
        rows_match_fields::<Bus>();
        rows_match_fields::<Lanes>();
        rows_match_fields::<Watch>();
        rows_match_fields::<Recall>();
        rows_match_fields::<Retention>();
        rows_match_fields::<Limits>();
        rows_match_fields::<Log>();
    }

    #[test]
    fn every_section_is_in_the_catalogue() {
        let defaults = to_table(&Config::default());
        let mut listed: Vec<&str> = catalog().iter().map(|section| section.name).collect();
        listed.sort_unstable();
        assert_eq!(listed, defaults.keys().collect::<Vec<_>>());
    }

    #[test]
    fn limits_are_configurable_downwards_only() {
        for setting in catalog().into_iter().flat_map(|s| s.settings).filter(|s| s.section == "limits") {
            let Allowed::Integer(_, max) = setting.allowed else { panic!("{} is no integer", setting.key) };
            assert_eq!(setting.default, Value::Integer(max.try_into().unwrap()), "{}", setting.key);
        }
    }
}
