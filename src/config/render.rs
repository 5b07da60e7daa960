//! Writes the catalogue of settings as the documented default file and as the reference. Decides nothing.

use std::fmt::Write as _;

use toml::Value;

use super::setting::{SectionEntry, Setting, catalog};

const FILE_HEAD: &str = "\
# The configuration of a swarmem coordinator, with every setting at its default.
# An environment variable SWARMEM_<SECTION>_<KEY> overrides a setting, and a flag overrides both.
";

const REFERENCE_HEAD: &str = "\
# Configuration

Generated from the code (`just docs`); do not edit.

A coordinator reads its settings from a TOML file (`--config`, or the variable `SWARMEM_CONFIG`), then from environment
variables, then from flags; a later one overrides an earlier one. The variable of `server.listen` is
`SWARMEM_SERVER_LISTEN`, and so on. Without any of them it runs with the defaults below.
`swarmem config print-default` prints a file with every setting and its text.

A name that does not exist and a value that is not allowed are errors at start, also in a layer that is overridden. That holds
for every variable that begins with `SWARMEM_`, except those of the command line (`SWARMEM_ADDRESS`, `SWARMEM_AGENT`,
`SWARMEM_CONFIG`, `SWARMEM_ROLE`, `SWARMEM_SWARM`), those in which Kubernetes tells where a service named after swarmem is
(`SWARMEM_SERVICE_HOST`, `SWARMEM_PORT_7420_TCP` and their like), and those of the project's own tests.
";

/// Every setting with its text, unit, default and range, as a file that parses to the default.
#[must_use]
pub fn default_toml() -> String {
    let mut out = FILE_HEAD.to_owned();
    for section in catalog() {
        let SectionEntry { name, doc, settings } = section;
        out += "\n";
        push_comment(&mut out, doc);
        push(&mut out, format_args!("[{name}]\n"));
        for setting in settings {
            out += "\n";
            push_comment(&mut out, setting.doc);
            push_comment(&mut out, &facts(&setting));
            push(&mut out, format_args!("# {} = {}\n", setting.key, setting.default));
        }
    }
    out
}

/// Every setting as a table per section, in Markdown: the text of `docs/configuration.md`.
#[must_use]
pub fn reference_markdown() -> String {
    let mut out = REFERENCE_HEAD.to_owned();
    for SectionEntry { name, doc, settings } in catalog() {
        push(&mut out, format_args!("\n## `[{name}]`\n\n{}\n\n", one_line(doc)));
        out += "| setting | default | allowed | meaning |\n| --- | --- | --- | --- |\n";
        for setting in settings {
            let Setting { key, default, allowed, .. } = &setting;
            let unit = setting.unit().map(|unit| format!(" {unit}")).unwrap_or_default();
            let human = human(&setting).map(|text| format!(" ({text})")).unwrap_or_default();
            let doc = one_line(setting.doc).replace('|', "\\|");
            push(&mut out, format_args!("| `{key}` | `{default}`{unit}{human} | {allowed} | {doc} |\n"));
        }
    }
    out
}

/// `In milliseconds. Default 10000 (10 s); allowed: an integer from 0 to 3600000.`
fn facts(setting: &Setting) -> String {
    let unit = setting.unit().map(|unit| format!("In {unit}. ")).unwrap_or_default();
    let human = human(setting).map(|text| format!(" ({text})")).unwrap_or_default();
    format!("{unit}Default {}{human}; allowed: {}.", setting.default, setting.allowed)
}

/// The default in the largest unit that divides it, when that is another one than the setting's.
fn human(setting: &Setting) -> Option<String> {
    let Value::Integer(value) = setting.default else { return None };
    let steps: &[(i64, &str)] = match setting.unit()? {
        "milliseconds" => &[(3_600_000, "h"), (60_000, "min"), (1000, "s")],
        "seconds" => &[(3600, "h"), (60, "min")],
        _ => &[(1 << 20, "MiB"), (1 << 10, "KiB")],
    };
    let (size, name) = steps.iter().find(|(size, _)| value >= *size && value % size == 0)?;
    Some(format!("{} {name}", value / size))
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

fn push_comment(out: &mut String, text: &str) {
    for line in text.lines() {
        push(out, format_args!("# {line}\n"));
    }
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_default_file_parses_to_the_default() {
        assert_eq!(toml::from_str::<Config>(&default_toml()).unwrap(), Config::default());
    }

    #[test]
    fn every_default_in_the_file_is_the_default() {
        let is_setting =
            |line: &&str| catalog_keys().iter().any(|key| line.starts_with(&format!("# {key} = ")));
        let text = default_toml();
        let set: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with('[') || is_setting(line))
            .map(|line| line.trim_start_matches("# "))
            .collect();
        let parsed: toml::Table = toml::from_str(&set.join("\n")).unwrap();
        assert_eq!(parsed, crate::config::setting::to_table(&Config::default()));
    }

    fn catalog_keys() -> Vec<&'static str> {
        catalog().into_iter().flat_map(|section| section.settings).map(|setting| setting.key).collect()
    }

    /// With `SWARMEM_WRITE_DOCS=1` this writes the file instead of comparing it.
    #[test]
    fn the_reference_in_the_docs_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        if env::var_os("SWARMEM_WRITE_DOCS").is_some_and(|value| value == "1") {
            fs::write(&path, reference_markdown()).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == reference_markdown(), "docs/configuration.md is stale: run `just docs`");
    }
}
