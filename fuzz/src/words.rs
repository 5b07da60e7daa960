//! Texts for the fields of messages: words that the service takes under such a name, what it gave out before, texts at
//! the edge of a limit, and anything else.

use std::collections::BTreeMap;

use super::source::Source;

/// Texts kept of each field of the answers.
const KEPT_MAX: usize = 6;
/// Fields whose texts are kept, and under which names requests take them.
const GIVEN_OUT: [(&str, &[&str]); 3] =
    [("token", &["token"]), ("next_page_token", &["page_token"]), ("etag", &["etag"])];

/// What texts are made of.
#[derive(Clone, Debug, Default)]
pub struct Words {
    given_out: BTreeMap<&'static str, Vec<String>>,
}

impl Words {
    /// Keeps what a field of an answer carried, if requests take such texts.
    pub fn keep(&mut self, field: &str, text: &str) {
        let Some((field, _)) = GIVEN_OUT.iter().find(|(name, _)| *name == field) else { return };
        let kept = self.given_out.entry(field).or_default();
        if !text.is_empty() && !kept.iter().any(|k| k == text) {
            kept.insert(0, text.to_owned());
            kept.truncate(KEPT_MAX);
        }
    }

    /// What answers carried in this field, the newest first.
    pub fn given_out(&self, field: &str) -> &[String] {
        self.given_out.get(field).map_or(&[], Vec::as_slice)
    }

    /// A text for a field of a request.
    pub fn choose(&self, field: &str, source: &mut Source<'_>) -> String {
        let words = plain(field);
        let kept = GIVEN_OUT.iter().find(|(_, names)| names.contains(&field));
        let kept = kept.map_or(&[][..], |(name, _)| self.given_out(name));
        match source.byte() {
            choice @ 0..160 => match kept.len() {
                0 => words[usize::from(choice) % words.len()].into(),
                len => kept[usize::from(choice) % len].clone(),
            },
            160..176 => words[source.below(words.len())].into(),
            176..192 => {
                // Anything that was given out, wherever.
                let all: Vec<&String> = self.given_out.values().flatten().collect();
                if all.is_empty() { String::new() } else { all[source.below(all.len())].clone() }
            }
            192..208 => long(source),
            208..224 => format!("{}{}", words[source.below(words.len())], source.text()),
            _ => source.text(),
        }
    }
}

/// One that is just within a limit, or just beyond.
fn long(source: &mut Source<'_>) -> String {
    const LIMITS: [usize; 6] = [63, 128, 512, 4_096, 65_536, 262_144];
    let len = source.pick(&LIMITS) + source.below(3) - 1;
    source.pick(&["x", "/x", "{"]).chars().cycle().take(len).collect()
}

/// What a field of this name usually has, the plainest first.
fn plain(field: &str) -> &'static [&'static str] {
    match field {
        "swarm" => &["default", "other", "new", ""],
        "namespace" => &["shared/a", "shared/a/b", "shared/ab", "agents/boss/x", "agents/b/y", "agents/b"],
        "prefix" | "prefixes" => &["shared", "shared/a", "agents", "agents/boss", "agents/b", "shared/none"],
        "suffix" => &["", "b", "a/b", "x"],
        "key" => &["k", "l", "", "\u{fc}"],
        "attributes" => &["", "{\"a\":1}", "{\"a\":{\"b\":\"x\"}}", "{\"a\":[1,2.5,null]}", "[]"],
        "value" => &["1", "\"x\"", "[1,2.5]", "true", "", "null"],
        "path" => &["a", "a.b", "b"],
        "request_id" => &["", "r", "s"],
        "tags" => &["t", "u"],
        "authors" => &["boss", "b"],
        "service" => &["", "swarmem.v1.MemoryService", "liveness", "none"],
        "token" | "page_token" | "etag" => &["", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
        _ => &["", "text", "swarmem.v1.Entry"],
    }
}
