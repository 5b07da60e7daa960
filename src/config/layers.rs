//! Lays file, environment and command line over one another, each value with its origin. Knows no setting by name.

use std::{collections::BTreeMap, fs, path::Path};

use toml::{Table, Value};

use super::{
    Config,
    error::{Error, Origin},
    setting::{SectionEntry, Setting, catalog, to_table},
};

/// What the variables of settings begin with.
const PREFIX: &str = "SWARMEM_";

/// Variables of this program that are no settings of a coordinator: the command line reads them.
pub const COMMAND_LINE_VARIABLES: &[&str] =
    &["SWARMEM_ADDRESS", "SWARMEM_AGENT", "SWARMEM_CONFIG", "SWARMEM_ROLE", "SWARMEM_SWARM"];

/// What variables of the project's own tests and tools begin with.
const TOOLS: &[&str] =
    &["SWARMEM_FUZZ_", "SWARMEM_SEEDED_BUG", "SWARMEM_SOAK_", "SWARMEM_TEST_", "SWARMEM_WRITE_DOCS"];

/// What stands behind the name of a secret when its value is the path of a file.
const FILE: &str = "_file";

/// The values given so far. A later one replaces an earlier one.
pub(super) struct Layers {
    catalog: Vec<SectionEntry>,
    /// By section and key.
    values: BTreeMap<(&'static str, &'static str), Given>,
}

struct Given {
    value: Value,
    origin: Origin,
    /// It is a secret, and stood in a file of its own.
    in_file: bool,
}

impl Default for Layers {
    fn default() -> Self {
        Self { catalog: catalog(), values: BTreeMap::new() }
    }
}

impl Layers {
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let text =
            fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let table: Table = toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
        let origin = Origin::File(path.to_owned());
        for (section, content) in table {
            let Some(entry) = self.catalog.iter().find(|entry| entry.name == section) else {
                let nearest =
                    if content.is_table() { self.nearest_section(&section) } else { self.nearest(&section) };
                return Err(Error::Unknown { name: section, origin, nearest });
            };
            let Value::Table(content) = content else {
                let allowed = format!("a section, [{}]", entry.name);
                return Err(Error::Invalid { name: section, value: content.to_string(), origin, allowed });
            };
            for (key, value) in content {
                self.add(&format!("{section}.{key}"), |_| value, &origin)?;
            }
        }
        Ok(())
    }

    pub(super) fn add_environment(
        &mut self,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<(), Error> {
        for (variable, text) in env {
            if !variable.starts_with(PREFIX) || is_of_others(&variable) {
                continue;
            }
            let origin = Origin::Environment(variable.clone());
            let base = variable.strip_suffix("_FILE");
            let secret = self.settings().find(|s| s.is_secret() && Some(&*s.variable()) == base);
            if let Some(name) = secret.map(|secret| format!("{}{FILE}", secret.name())) {
                self.add(&name, |_| Value::String(text), &origin)?;
                continue;
            }
            let Some(setting) = self.settings().find(|setting| setting.variable() == variable) else {
                let others = COMMAND_LINE_VARIABLES.iter().map(|&name| name.to_owned());
                let nearest = nearest(&variable, self.settings().map(Setting::variable).chain(others));
                return Err(Error::Unknown { name: variable, origin, nearest });
            };
            let name = setting.name();
            self.add(&name, |setting| setting.parse(&text), &origin)?;
        }
        Ok(())
    }

    pub(super) fn add_overrides(&mut self, overrides: &[(String, String)]) -> Result<(), Error> {
        for (name, text) in overrides {
            self.add(name, |setting| setting.parse(text), &Origin::CommandLine)?;
        }
        Ok(())
    }

    /// The defaults with everything that was given laid over them.
    pub(super) fn build(&self) -> Config {
        let mut table = to_table(&Config::default());
        for ((section, key), given) in &self.values {
            table[*section][*key] = given.value.clone();
        }
        table.try_into().expect("every value was checked against what its setting takes")
    }

    pub(super) fn origin(&self, name: &str) -> Origin {
        let given = self.values.iter().find(|((section, key), _)| is_name(name, section, key));
        given.map_or(Origin::Default, |(_, given)| given.origin.clone())
    }

    fn add(
        &mut self,
        name: &str,
        value: impl FnOnce(&Setting) -> Value,
        origin: &Origin,
    ) -> Result<(), Error> {
        let in_file = self.secret_in_file(name);
        let named = in_file.or_else(|| self.settings().find(|s| is_name(name, s.section, s.key)));
        let Some(setting) = named else {
            return Err(Error::Unknown {
                name: name.to_owned(),
                origin: origin.clone(),
                nearest: self.nearest(name),
            });
        };
        let mut value = value(setting);
        if in_file.is_some() {
            value = Value::String(read_secret(name, &value, origin)?);
        }
        setting.check(&value, || origin.clone())?;
        let place = (setting.section, setting.key);
        let given = Given { value, origin: origin.clone(), in_file: in_file.is_some() };
        if let Some(other) = self.values.get(&place)
            && other.in_file != given.in_file
            && other.origin.is_beside(origin)
        {
            return Err(Error::Conflict {
                name: setting.name(),
                value: "(not shown)".to_owned(),
                origin: if given.in_file { other.origin.clone() } else { given.origin },
                conflict: format!("{}{FILE} is given beside it; leave one of the two out", setting.name()),
            });
        }
        self.values.insert(place, given);
        Ok(())
    }

    /// The secret that a name with `_file` behind it means.
    fn secret_in_file(&self, name: &str) -> Option<&Setting> {
        let name = name.strip_suffix(FILE)?;
        self.settings().find(|s| s.is_secret() && is_name(name, s.section, s.key))
    }

    fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.catalog.iter().flat_map(|entry| &entry.settings)
    }

    fn nearest(&self, name: &str) -> Option<String> {
        nearest(name, self.settings().map(Setting::name))
    }

    fn nearest_section(&self, name: &str) -> Option<String> {
        nearest(name, self.catalog.iter().map(|entry| entry.name.to_owned()))
    }
}

/// Whether a variable is meant for somebody else.
fn is_of_others(variable: &str) -> bool {
    COMMAND_LINE_VARIABLES.contains(&variable)
        || TOOLS.iter().any(|tool| variable.starts_with(tool))
        || is_service_link(variable)
}

/// Kubernetes tells every container of a namespace where its services are: of one whose name begins with "swarmem", in
/// variables such as `SWARMEM_SERVICE_HOST`, `SWARMEM_PORT` and `SWARMEM_PORT_7420_TCP_ADDR`.
fn is_service_link(variable: &str) -> bool {
    let is_port = |rest: &str| {
        let mut words = rest.split('_');
        words.next().is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
            && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    variable.ends_with("_SERVICE_HOST")
        || variable.ends_with("_SERVICE_PORT")
        || variable.contains("_SERVICE_PORT_")
        || variable.ends_with("_PORT")
        || variable.split_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
}

/// The secret in the file that `path` names, without the end of the line.
fn read_secret(name: &str, path: &Value, origin: &Origin) -> Result<String, Error> {
    let Value::String(path) = path else {
        return Err(Error::Invalid {
            name: name.to_owned(),
            value: path.to_string(),
            origin: origin.clone(),
            allowed: "the path of a file that holds the secret".to_owned(),
        });
    };
    let unusable = |problem| Error::SecretFile {
        name: name.to_owned(),
        path: path.into(),
        origin: origin.clone(),
        problem,
    };
    let text = fs::read_to_string(path).map_err(|error| unusable(format!("it cannot be read: {error}")))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(unusable(
            "the file is empty; write the secret into it, or leave the setting out".to_owned(),
        ));
    }
    Ok(secret.to_owned())
}

fn is_name(name: &str, section: &str, key: &str) -> bool {
    name.split_once('.') == Some((section, key))
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let message = error.message().replace('\n', " ");
    Error::Syntax { path: path.to_owned(), line, message }
}

/// The candidate that takes the fewest edits, whole or without its section; none if that is half of the name or more.
fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let distance = |candidate: &String| {
        let key = candidate.rsplit('.').next().unwrap_or(candidate);
        edits(name, candidate).min(edits(name, key))
    };
    let (distance, nearest) = candidates.map(|c| (distance(&c), c)).min_by_key(|(distance, _)| *distance)?;
    (distance * 2 < name.chars().count()).then_some(nearest)
}

/// How many characters must be put in, taken out or replaced to turn one word into the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("port", "path", 3),
            ("a", "a", 0),
        ] {
            assert_eq!(edits(from, to), expected, "{from} {to}");
        }
    }
}
