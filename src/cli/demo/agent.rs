//! One agent of the demo: what it stores of what it reads, and what it makes of what the others shared. Knows the
//! coordinator only through its client.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::watch;

use super::{
    proof::Ack,
    reading::{Paragraph, frequent, notable},
};
use crate::{cli::Error, client::WriteStream, wire::v1};

/// Where the agents lay their paragraphs for the others.
pub(super) const SHARED_PARAGRAPHS: &str = "shared/paragraphs";

/// An agent stops after so many links.
const LINKS_MAX: usize = 100;
/// So many words at most stand in a link.
const LINK_WORDS_MAX: usize = 8;
/// So many segments of a file's path at most stand in a namespace.
const FILE_SEGMENTS_MAX: usize = 8;
/// So many characters at most stand in a segment; of up to four bytes each, they fit into 128 bytes.
const SEGMENT_CHARS_MAX: usize = 32;
/// How long an agent waits for its own watch to bring what was written.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// An agent at work.
pub(super) struct Agent {
    pub name: &'static str,
    pub writes: WriteStream,
    /// What its watch has brought.
    pub knowledge: Arc<Mutex<Knowledge>>,
    /// The revision up to which its watch has seen everything.
    pub reached: watch::Receiver<u64>,
    pub progress: ProgressBar,
}

/// Which paragraphs speak of what, as far as a watch has told.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    words: BTreeMap<String, BTreeSet<Place>>,
}

/// A shared paragraph and who shared it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    key: Arc<str>,
    author: Arc<str>,
}

impl Knowledge {
    /// Takes note of a shared paragraph.
    pub(super) fn learn(&mut self, entry: &v1::Entry) {
        let place = Place { key: entry.key.as_str().into(), author: entry.author.as_str().into() };
        for word in notable(&entry.content) {
            let places = self.words.entry(word).or_default();
            // Three are as good as many: the word is not rare.
            if places.len() < 3 {
                places.insert(place.clone());
            }
        }
    }

    /// The words that exactly two paragraphs of two agents share, by pair; only pairs whose first paragraph is
    /// the agent's, so that each is found once. Those with most words come first.
    fn links(&self, agent: &str) -> Vec<(Place, Place, Vec<&str>)> {
        let mut pairs: BTreeMap<(&Place, &Place), Vec<&str>> = BTreeMap::new();
        for (word, places) in &self.words {
            let mut places_of_word = places.iter();
            if let (Some(first), Some(second), None) =
                (places_of_word.next(), places_of_word.next(), places_of_word.next())
                && &*first.author == agent
                && first.author != second.author
            {
                pairs.entry((first, second)).or_default().push(word);
            }
        }
        let mut links: Vec<_> =
            pairs.into_iter().map(|((a, b), words)| (a.clone(), b.clone(), words)).collect();
        links.sort_by_key(|(_, _, words)| std::cmp::Reverse(words.len()));
        links.truncate(LINKS_MAX);
        links
    }
}

impl Agent {
    /// Reads paragraphs: keeps each to itself, lays it out for the others, and says what it noticed.
    pub(super) async fn read(&self, paragraphs: &[Paragraph]) -> Result<Vec<Ack>, Error> {
        let mut acks = Vec::with_capacity(paragraphs.len() * 3);
        for paragraph in paragraphs {
            let below = namespace_of(&paragraph.file);
            let own = format!("agents/{}/reading/{below}", self.name);
            let shared = format!("{SHARED_PARAGRAPHS}/{below}");
            let (own, shared, observation) = tokio::try_join!(
                self.put(document(paragraph, own)),
                self.put(document(paragraph, shared)),
                self.put(observation(paragraph, self.name)),
            )?;
            acks.extend([own, shared, observation]);
        }
        Ok(acks)
    }

    /// Waits until its own watch has brought everything up to a revision, then shares what connects its
    /// paragraphs with those of others, and a summary.
    pub(super) async fn conclude(&self, paragraphs: &[Paragraph], newest: u64) -> Result<Vec<Ack>, Error> {
        let mut reached = self.reached.clone();
        match tokio::time::timeout(CATCH_UP_TIMEOUT, reached.wait_for(|revision| *revision >= newest)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(Error::Failed(format!("the watch of {} ended", self.name))),
            Err(_) => {
                return Err(Error::Failed(format!(
                    "the watch of {} did not reach revision {newest} within {CATCH_UP_TIMEOUT:?}",
                    self.name
                )));
            }
        }
        let knowledge = std::mem::take(&mut *self.knowledge.lock().unwrap_or_else(PoisonError::into_inner));
        let links = knowledge.links(self.name);
        self.progress.inc_length(links.len() as u64);
        let mut acks = Vec::with_capacity(links.len() + 1);
        for (own, other, words) in &links {
            acks.push(self.put(link(own, other, words)).await?);
        }
        acks.push(self.put(summary(self.name, paragraphs, links.len())).await?);
        Ok(acks)
    }

    async fn put(&self, put: v1::PutOperation) -> Result<Ack, Error> {
        let (namespace, key) = (put.namespace.clone(), put.key.clone());
        let started = Instant::now();
        let response = self.writes.put(put).await?.await?;
        let latency = started.elapsed();
        self.progress.inc(1);
        let revision = response.result.unwrap_or_default().revision;
        Ok(Ack { revision, namespace, key, started, latency })
    }
}

fn document(paragraph: &Paragraph, namespace: String) -> v1::PutOperation {
    let attributes = json!({
        "file": paragraph.file,
        "heading": paragraph.heading,
        "paragraph": paragraph.number,
        "words": paragraph.content.split_whitespace().count(),
    });
    v1::PutOperation {
        namespace,
        key: paragraph.key(),
        kind: v1::Kind::Document.into(),
        content: paragraph.content.clone(),
        attributes: attributes.to_string(),
        tags: vec!["paragraph".to_owned()],
        ..Default::default()
    }
}

fn observation(paragraph: &Paragraph, agent: &str) -> v1::PutOperation {
    let words = paragraph.content.split_whitespace().count();
    let terms = frequent([paragraph.content.as_str()].into_iter(), 3);
    let heading = match paragraph.heading.as_str() {
        "" => String::new(),
        heading => format!(", under \"{heading}\""),
    };
    let content = format!(
        "Paragraph {} of {}{heading}, has {words} words. Most frequent: {}.",
        paragraph.number,
        paragraph.file,
        counted(&terms)
    );
    let terms: BTreeMap<_, _> = terms.into_iter().collect();
    let attributes = json!({ "paragraph": paragraph.number, "words": words, "terms": terms });
    v1::PutOperation {
        namespace: format!("shared/observations/{agent}"),
        key: paragraph.key(),
        content,
        attributes: attributes.to_string(),
        tags: vec!["observation".to_owned()],
        ..Default::default()
    }
}

fn link(own: &Place, other: &Place, words: &[&str]) -> v1::PutOperation {
    let words = &words[..words.len().min(LINK_WORDS_MAX)];
    let content = format!(
        "Only {} (read by {}) and {} (read by {}) speak of {}.",
        own.key,
        own.author,
        other.key,
        other.author,
        words.join(", ")
    );
    let attributes = json!({ "paragraphs": [&*own.key, &*other.key], "words": words });
    v1::PutOperation {
        namespace: "shared/links".to_owned(),
        key: format!("{}-{}", own.key, other.key),
        content,
        attributes: attributes.to_string(),
        tags: vec!["link".to_owned()],
        importance: Some(0.7),
        ..Default::default()
    }
}

fn summary(agent: &str, paragraphs: &[Paragraph], links: usize) -> v1::PutOperation {
    let files: BTreeSet<_> = paragraphs.iter().map(|paragraph| &paragraph.file).collect();
    let headings: BTreeSet<_> =
        paragraphs.iter().map(|paragraph| &paragraph.heading).filter(|heading| !heading.is_empty()).collect();
    let words: usize = paragraphs.iter().map(|paragraph| paragraph.content.split_whitespace().count()).sum();
    let terms = frequent(paragraphs.iter().map(|paragraph| paragraph.content.as_str()), 5);
    let content = format!(
        "{agent} read {} paragraphs of {} files under {} headings, {words} words in all. Most frequent: {}. \
         Found {links} links to what others read.",
        paragraphs.len(),
        files.len(),
        headings.len(),
        counted(&terms)
    );
    let attributes = json!({
        "paragraphs": paragraphs.len(),
        "files": files.len(),
        "headings": headings.len(),
        "words": words,
        "links": links,
    });
    v1::PutOperation {
        namespace: "shared/summaries".to_owned(),
        key: agent.to_owned(),
        kind: v1::Kind::Summary.into(),
        content,
        attributes: attributes.to_string(),
        importance: Some(0.9),
        ..Default::default()
    }
}

fn counted(terms: &[(String, usize)]) -> String {
    match terms {
        [] => "nothing in particular".to_owned(),
        terms => terms.iter().map(|(term, count)| format!("{term} ({count})")).collect::<Vec<_>>().join(", "),
    }
}

/// A file's path as the end of a namespace: the last of its segments, each without what a segment may not hold.
fn namespace_of(file: &str) -> String {
    let segments: Vec<_> = file.split('/').filter_map(segment_of).collect();
    match segments.as_slice() {
        [] => "text".to_owned(),
        segments => segments[segments.len().saturating_sub(FILE_SEGMENTS_MAX)..].join("/"),
    }
}

fn segment_of(name: &str) -> Option<String> {
    let plain = |c: char| if c.is_control() { '-' } else { c };
    let segment: String = name.trim().chars().map(plain).take(SEGMENT_CHARS_MAX).collect();
    Some(segment.trim().to_owned()).filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(key: &str, author: &str, content: &str) -> v1::Entry {
        v1::Entry { key: key.into(), author: author.into(), content: content.into(), ..Default::default() }
    }

    #[test]
    fn rare_words_link_paragraphs_of_different_agents() {
        let mut knowledge = Knowledge::default();
        knowledge.learn(&shared("p1", "coder", "incarnation nonce counter everywhere"));
        knowledge.learn(&shared("p2", "critic", "incarnation counter everywhere"));
        knowledge.learn(&shared("p3", "coder", "everywhere lonely"));
        knowledge.learn(&shared("p4", "coder", "lonely"));

        let links = knowledge.links("coder");

        assert_eq!(links.len(), 1);
        let (own, other, words) = &links[0];
        assert_eq!((&*own.key, &*other.key), ("p1", "p2"));
        assert_eq!(*words, ["counter", "incarnation"]);
        assert!(knowledge.links("critic").is_empty());
    }

    #[test]
    fn any_path_ends_a_namespace() {
        assert_eq!(namespace_of("docs/adr/0001.md"), "docs/adr/0001.md");
        assert_eq!(namespace_of(" padded /\tx"), "padded/x");
        assert_eq!(namespace_of("a\u{7}b"), "a-b");
        assert_eq!(namespace_of("///"), "text");
        assert_eq!(namespace_of(&["s"; 30].join("/")), ["s"; FILE_SEGMENTS_MAX].join("/"));
        assert!(namespace_of(&"🦀".repeat(100)).len() <= 128);
    }
}
