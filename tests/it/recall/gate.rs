//! The gate of recall's quality: questions about a corpus of our own, and how well they have to be answered. Knows what is asked
//! and which memories answer it; knows nothing of how they are found.
//!
//! `corpus.jsonl` and `queries.jsonl` were written for this test, by somebody who asked what agents and people ask, not what is
//! found: some questions are not answered well, and are meant to be. They are lines of `swarmem bench recall`; questions name the
//! memories that answer them (`gold`) and what is hard about them (`category`). `floors.json` stands a little below what was
//! measured. Who makes recall better raises it; who changes a question to pass should not.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::Path,
};

use serde::{Deserialize, de::DeserializeOwned};
use swarmem::{
    bench::recall::{Answer, Memory, Query, ask, store},
    client::{Client, Role},
    wire::v1,
};

use super::score::Score;
use crate::process::Server;

/// How many memories a question asks for.
const LIMIT: u32 = 20;
/// More than there are in any conversation.
const ALL: u32 = 200;

/// How good answers have to be; a value of `floors.json`.
#[derive(Deserialize)]
struct Floors {
    /// Over all questions; .03 below what was measured.
    overall: BTreeMap<String, f64>,
    /// nDCG@10 of each category; .05 below what was measured, for one question of a small category weighs as much.
    categories: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Question {
    #[serde(flatten)]
    query: Query,
    gold: Vec<String>,
    category: String,
}

#[tokio::test]
async fn questions_are_answered_with_the_built_in_model() {
    gate("builtin").await;
}

#[tokio::test]
async fn questions_are_answered_by_words_alone() {
    gate("none").await;
}

#[tokio::test]
async fn nothing_superseded_or_resolved_is_an_answer() {
    let server = Server::start(&[]);
    let client = stocked(&server).await;
    let settled = settled();
    assert_eq!(settled.len(), 15);
    let questions = questions().into_iter().filter(|question| question.category == "superseded");
    let queries: Vec<_> = questions.map(|question| question.query).collect();
    let (answers, _) = ask(&client, &queries, ALL, 0).await.unwrap();
    for Answer { qid, ranked } in &answers {
        let wrong: Vec<_> = ranked.iter().filter(|id| settled.contains(*id)).collect();
        assert!(!ranked.is_empty() && wrong.is_empty(), "{qid}: {wrong:?} among {ranked:?}");
    }
    // They are there, for who asks.
    let request = v1::RecallRequest {
        query: "Which database is the primary one?".to_owned(),
        include_settled: true,
        ..Default::default()
    };
    let memories = client.recall(request).await.unwrap().memories;
    let contents: Vec<_> = memories.iter().map(|memory| &*memory.entry.as_ref().unwrap().content).collect();
    let old = "The primary database is MySQL 8 with two asynchronous replicas.";
    assert!(contents.contains(&old), "{contents:?}");
}

/// What lies beside this file; read when the test runs, so that who changes it need not build.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/recall").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn lines<T: DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect()
}

fn corpus() -> Vec<Memory> {
    lines(&file("corpus.jsonl"))
}

fn questions() -> Vec<Question> {
    lines(&file("queries.jsonl"))
}

/// The memories that hold no more.
fn settled() -> BTreeSet<String> {
    let over = corpus().into_iter().filter(|memory| memory.resolved || memory.superseded_by.is_some());
    over.map(|memory| memory.id).collect()
}

/// A client of a coordinator that knows the corpus.
async fn stocked(server: &Server) -> Client {
    let client = server.client("gate", Role::Agent).await;
    store(&client, &corpus()).await.unwrap();
    client
}

async fn gate(embedder: &str) {
    let server = Server::start(&["--set", &format!("recall.embedder={embedder}")]);
    let client = stocked(&server).await;
    let questions = questions();
    let queries: Vec<_> = questions.iter().map(|question| question.query.clone()).collect();
    let (answers, _) = ask(&client, &queries, LIMIT, 0).await.unwrap();
    assert_eq!(answers.len(), questions.len(), "every question has a name of its own");

    let settled = settled();
    let mut scores: BTreeMap<&str, Vec<Score>> = BTreeMap::new();
    let mut told = Vec::new();
    for (question, answer) in questions.iter().zip(&answers) {
        assert!(!answer.ranked.iter().any(|id| settled.contains(id)), "settled: {answer:?}");
        let score = Score::of(&answer.ranked, &question.gold);
        scores.entry(&question.category).or_default().push(score);
        if score.gain < 0.5 {
            let first = &answer.ranked[..answer.ranked.len().min(3)];
            let Query { qid, text, .. } = &question.query;
            writeln!(told, "{:.2} {qid} {text} {:?}, found {first:?}", score.gain, question.gold).unwrap();
        }
    }
    let categories: BTreeMap<_, _> = scores.iter().map(|(&name, scores)| (name, mean(scores))).collect();
    let overall = mean(&scores.values().flatten().copied().collect::<Vec<_>>());

    writeln!(told, "{embedder:12}    n{}", overall.figures().map(|(name, _)| format!("{name:>9}")).concat())
        .unwrap();
    for (name, score) in categories.iter().chain([(&"overall", &overall)]) {
        let count = scores.get(name).map_or(questions.len(), Vec::len);
        let figures = score.figures().map(|(_, figure)| format!("{figure:9.4}")).concat();
        writeln!(told, "{name:12} {count:4}{figures}").unwrap();
    }
    // For who runs the test with its output shown, captured or not.
    std::io::stdout().write_all(&told).unwrap();

    let floors: BTreeMap<String, Floors> = serde_json::from_str(&file("floors.json")).unwrap();
    let floors = &floors[embedder];
    let mut low = Vec::new();
    for (name, figure) in overall.figures() {
        let floor = floors.overall[name];
        if figure < floor {
            low.push(format!("{name} {figure:.4} < {floor}"));
        }
    }
    assert!(categories.keys().eq(floors.categories.keys()), "a floor for each: {:?}", categories.keys());
    for (name, score) in &categories {
        let floor = floors.categories[*name];
        if score.gain < floor {
            low.push(format!("nDCG@10 of {name} {:.4} < {floor}", score.gain));
        }
    }
    assert!(low.is_empty(), "with embedder {embedder}: {}", low.join(", "));
}

fn mean(scores: &[Score]) -> Score {
    let mut sum = Score::default();
    for &score in scores {
        sum += score;
    }
    sum / scores.len() as f64
}
