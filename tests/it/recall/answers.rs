//! What a question finds, and what is said about it.

use swarmem::{
    client::Client,
    wire::v1::{self, Fallback},
};

use crate::rpc::harness::{Server, put};

/// The keys that a question finds, best first.
pub async fn keys(client: &Client, query: &str, prefix: &str) -> Vec<String> {
    let answer = client.recall(question(query, prefix)).await.unwrap();
    answer.memories.into_iter().map(|memory| memory.entry.unwrap().key).collect()
}

pub fn question(query: &str, prefix: &str) -> v1::RecallRequest {
    let prefixes = if prefix.is_empty() { vec![] } else { vec![prefix.to_owned()] };
    let filter = v1::Filter { prefixes, ..Default::default() };
    v1::RecallRequest { query: query.into(), filter: Some(filter), explain: true, ..Default::default() }
}

pub fn turn(key: &str, speaker: &str, time: &str, order: u32, content: &str) -> v1::PutOperation {
    let attributes = format!(r#"{{"session":"s1","speaker":"{speaker}","time":"{time}","order":{order}}}"#);
    v1::PutOperation { kind: v1::Kind::Message.into(), attributes, ..put("shared/chat", key, content) }
}

async fn facts(client: &Client) {
    client
        .batch_put(vec![
            put("shared/facts", "build", "The nightly build has been failing since the linker was upgraded"),
            put("shared/facts", "coffee", "The espresso machine on the second floor is out of order"),
            v1::PutOperation {
                tags: vec!["k8s".into(), "kube".into()],
                ..put("shared/facts", "deploy", "Kubernetes rolls the service out in three waves")
            },
            put("shared/facts", "dog", "Caroline adopted a puppy from the shelter"),
        ])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_question_finds_words_tags_and_meanings() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    facts(&ann).await;
    for (query, found) in [
        ("why does the build fail?", "build"),
        ("k8s rollout", "deploy"),
        // No word in common: by meaning alone.
        ("who got a dog?", "dog"),
        ("is there any broken coffee maker", "coffee"),
        // A letter too few.
        ("kubernets", "deploy"),
        ("UPGRADING LINKERS", "build"),
    ] {
        assert_eq!(keys(&ann, query, "shared/facts").await[0], found, "{query}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_turn_is_understood_with_the_turns_beside_it() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.batch_put(vec![
        turn("1", "Maria", "2024-03-01T10:00:00", 1, "Hi Tom, long time no see!"),
        turn("2", "Maria", "2024-03-01T10:00:00", 2, "What is the name of your new boat?"),
        turn("3", "Tom", "2024-03-01T10:00:00", 3, "Odysseus, after my grandfather."),
        turn("4", "Maria", "2024-03-01T10:00:00", 4, "Lovely. I am painting the kitchen these days."),
        turn("5", "Tom", "2024-03-01T10:00:00", 5, "In which colour?"),
        turn("6", "Maria", "2024-03-01T10:00:00", 6, "A warm yellow."),
    ])
    .await
    .unwrap();
    // The answer has no word of the question; the turn before it has.
    assert_eq!(keys(&ann, "What did Tom call his boat?", "shared/chat").await[0], "3");
    let by_maria = keys(&ann, "What does Maria say about the kitchen?", "shared/chat").await;
    assert_eq!(by_maria[0], "4");
    server.stop().await;
}

#[tokio::test]
async fn the_score_can_be_computed_from_its_explanation() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    facts(&ann).await;
    let preference = v1::PutOperation {
        kind: v1::Kind::Preference.into(),
        importance: Some(0.9),
        attributes: r#"{"time":"2020-01-01"}"#.into(),
        ..put("shared/facts", "tea", "Prefers tea over coffee from the machine")
    };
    ann.put(preference).await.unwrap();
    ann.put(turn("1", "Tom", "2024-03-01", 1, "Which coffee machine, the one on the second floor?"))
        .await
        .unwrap();
    let answer = ann.recall(question("Tom's coffee machine in March 2024", "")).await.unwrap();
    assert!(answer.memories.len() >= 3);
    for memory in &answer.memories {
        let e = memory.explanation.as_ref().unwrap();
        let part = |value: f64, best: f64| if best > 0.0 { value / best } else { 0.0 };
        let fused =
            (1.0 - e.share) * part(e.lexical, e.lexical_best) + e.share * part(e.semantic, e.semantic_best);
        let bonuses = e.speaker_bonus + e.time_bonus + e.telling_bonus + e.asking_bonus;
        let score = (fused + bonuses) * e.recency * e.importance * e.utility + e.likeness;
        assert!((score - memory.score).abs() < 1e-5, "{score} {memory:?}");
        let words: f64 = e.words.iter().map(|word| word.share).sum();
        assert!((words - e.lexical).abs() < 1e-4, "{memory:?}");
    }
    let of = |key: &str| {
        let memory = answer.memories.iter().find(|memory| memory.entry.as_ref().unwrap().key == key).unwrap();
        memory.explanation.clone().unwrap()
    };
    assert!(of("tea").recency < 0.9 && of("tea").importance > 1.1 && of("coffee").recency == 1.0);
    let turn = of("1");
    assert!(turn.speaker_bonus > 0.0 && turn.time_bonus > 0.0 && turn.asking_bonus < 0.0);
    assert!(answer.memories.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert_eq!(
        (answer.searched, answer.fallback(), &*answer.embedding_model),
        (6, Fallback::Unspecified, "minilm-static-256")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_question_without_words_gets_the_newest_and_is_told() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    facts(&ann).await;
    for (query, why) in [
        ("", Fallback::EmptyQuery),
        (" \n", Fallback::EmptyQuery),
        ("what is the", Fallback::NoWords),
        ("?!", Fallback::NoWords),
    ] {
        let answer = ann.recall(v1::RecallRequest { limit: 2, ..question(query, "") }).await.unwrap();
        let keys: Vec<_> =
            answer.memories.iter().map(|memory| &*memory.entry.as_ref().unwrap().key).collect();
        assert_eq!((answer.fallback(), keys), (why, vec!["dog", "deploy"]), "{query:?}");
    }
    let nothing = ann.recall(question("anything", "shared/none")).await.unwrap();
    assert_eq!((nothing.memories.len(), nothing.searched), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn what_is_settled_is_left_out_and_what_says_the_same_is_named_once() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let with = |key: &str, attributes: &str| v1::PutOperation {
        attributes: attributes.into(),
        ..put("shared/f", key, &format!("The release is planned for Friday ({key})"))
    };
    ann.batch_put(vec![
        with("old", r#"{"superseded_by":"new"}"#),
        with("done", r#"{"resolved":true}"#),
        with("open", r#"{"superseded_by":null,"resolved":false}"#),
        put("shared/f", "one", "Lunch is at noon in the big hall"),
        put("shared/f", "two", "lunch is at noon in the big hall!"),
    ])
    .await
    .unwrap();
    assert_eq!(keys(&ann, "when is the release planned", "shared/f").await[0], "open");
    assert!(
        !keys(&ann, "release planned friday", "shared/f")
            .await
            .iter()
            .any(|key| key == "old" || key == "done")
    );
    let all = v1::RecallRequest { include_settled: true, ..question("release planned friday", "shared/f") };
    let all: Vec<_> =
        ann.recall(all).await.unwrap().memories.into_iter().map(|m| m.entry.unwrap().key).collect();
    assert!(all.contains(&"old".to_owned()) && all.contains(&"done".to_owned()), "{all:?}");
    let lunch = ann.recall(question("where is lunch", "shared/f")).await.unwrap();
    let first = &lunch.memories[0];
    let mut same = [&*first.entry.as_ref().unwrap().key, &*first.duplicates[0].key];
    same.sort_unstable();
    assert_eq!((same, first.duplicates.len()), (["one", "two"], 1));
    server.stop().await;
}

#[tokio::test]
async fn a_context_fits_its_budget_and_names_its_sources() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    facts(&ann).await;
    ann.put(turn("t", "Tom", "2024-03-01", 1, "I fixed the linker of the nightly build.")).await.unwrap();
    let kind = v1::Kind::Preference.into();
    let preference =
        v1::PutOperation { kind, ..put("shared/facts", "p", "Prefers the lld linker for every build") };
    ann.put(preference).await.unwrap();
    let request = v1::ContextRequest { query: "linker of the nightly build".into(), ..Default::default() };
    let context = ann.context(request.clone()).await.unwrap();
    let text = &context.text;
    let places: Vec<_> = [
        "<memory",
        "# Preferences",
        "lld linker",
        "# Facts",
        "failing since",
        "# Conversations",
        "1 March 2024, Tom: I fixed",
        "</memory>",
    ]
    .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} in {text}")))
    .into();
    assert!(places.is_sorted(), "{text}");
    assert!(context.references.iter().all(|r| text.contains(&format!("[{}]", r.label))));
    assert!(context.estimated && context.tokens <= 2_000);
    let small = ann.context(v1::ContextRequest { max_tokens: 60, ..request.clone() }).await.unwrap();
    assert!(small.tokens <= 60 && small.left_out > 0 && !small.text.is_empty(), "{small:?}");
    assert!(small.text.len() < text.len());
    let nothing =
        ann.context(v1::ContextRequest { query: "x".into(), max_tokens: 16, ..request }).await.unwrap();
    assert!(nothing.tokens <= 16, "{nothing:?}");
    server.stop().await;
}

#[tokio::test]
async fn filters_narrow_what_is_searched() {
    let server = Server::start().await;
    let (ann, bob) = (server.agent("ann").await, server.agent("bob").await);
    facts(&ann).await;
    bob.put(put("shared/other", "x", "The build of bob fails as well")).await.unwrap();
    let filtered = |filter: v1::Filter| v1::RecallRequest {
        filter: Some(filter),
        ..question("build service machine", "")
    };
    for (filter, found) in [
        (v1::Filter { tags: vec!["kube".into()], ..Default::default() }, vec!["deploy"]),
        (v1::Filter { authors: vec!["bob".into()], ..Default::default() }, vec!["x"]),
        (v1::Filter { prefixes: vec!["shared/other".into()], ..Default::default() }, vec!["x"]),
        (v1::Filter { kinds: vec![v1::Kind::Message.into()], ..Default::default() }, vec![]),
    ] {
        let answer = ann.recall(filtered(filter.clone())).await.unwrap();
        let keys: Vec<_> =
            answer.memories.iter().map(|memory| &*memory.entry.as_ref().unwrap().key).collect();
        assert_eq!(keys, found, "{filter:?}");
    }
    server.stop().await;
}
