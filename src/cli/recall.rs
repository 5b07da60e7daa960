//! The commands that ask: recall and context. Knows nothing of how anything is ranked.

use clap::Args;
use serde::Serialize;

use super::{
    Error, FilterArgs, Format, Global,
    output::{Output, Rows, excerpt},
    value,
    view::EntryView,
};
use crate::wire::v1;

/// How much of a content fits on a line beside the rest.
const EXCERPT_CHARS_MAX: usize = 72;

/// Ask what the swarm knows.
#[derive(Args, Clone, Debug)]
pub struct RecallArgs {
    /// What to look for, in any words
    pub query: String,
    /// Among which entries.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most so many
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = value::at_least_one::<u32>)]
    pub limit: u32,
    /// Print what each score is made of
    #[arg(long)]
    pub explain: bool,
    /// Also what was superseded or resolved
    #[arg(long)]
    pub settled: bool,
    /// See every write that was acknowledged anywhere before
    #[arg(long)]
    pub strong: bool,
}

/// Ask what the swarm knows, as a text for a model's prompt.
#[derive(Args, Clone, Debug)]
pub struct ContextArgs {
    /// What to look for, in any words
    pub query: String,
    /// Among which entries.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// No more tokens than this
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = value::at_least_one::<u32>)]
    pub max_tokens: u32,
    /// See every write that was acknowledged anywhere before
    #[arg(long)]
    pub strong: bool,
}

#[derive(Serialize)]
struct AnswerView<'a> {
    memories: Vec<MemoryView<'a>>,
    fallback: Option<&'static str>,
    searched: u64,
    embedding_model: &'a str,
    revision: u64,
    token: &'a str,
}

#[derive(Serialize)]
struct MemoryView<'a> {
    score: f64,
    #[serde(flatten)]
    entry: EntryView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<ExplanationView<'a>>,
    duplicates: Vec<NameView<'a>>,
}

#[derive(Serialize)]
struct NameView<'a> {
    namespace: &'a str,
    key: &'a str,
}

#[derive(Serialize)]
struct ExplanationView<'a> {
    lexical: f64,
    lexical_best: f64,
    semantic: f64,
    semantic_best: f64,
    share: f64,
    speaker_bonus: f64,
    time_bonus: f64,
    telling_bonus: f64,
    asking_bonus: f64,
    recency: f64,
    importance: f64,
    utility: f64,
    likeness: f64,
    words: Vec<(&'a str, f64)>,
}

#[derive(Serialize)]
struct ContextView<'a> {
    text: &'a str,
    tokens: u32,
    estimated: bool,
    left_out: u32,
    references: Vec<ReferenceView<'a>>,
}

#[derive(Serialize)]
struct ReferenceView<'a> {
    label: &'a str,
    namespace: &'a str,
    key: &'a str,
    score: f64,
}

pub(super) async fn recall(global: &Global, args: RecallArgs, output: &mut Output) -> Result<(), Error> {
    let request = v1::RecallRequest {
        query: args.query,
        filter: Some(args.filter.into_filter()),
        limit: args.limit,
        consistency: args.strong.then(strong),
        explain: args.explain,
        include_settled: args.settled,
        ..Default::default()
    };
    let answer = global.connect().await?.recall(request).await?;
    if output.format() == Format::Json {
        output.json(&AnswerView {
            memories: answer.memories.iter().filter_map(memory_view).collect(),
            fallback: fallback(answer.fallback()),
            searched: answer.searched,
            embedding_model: &answer.embedding_model,
            revision: answer.revision,
            token: &answer.token,
        })?;
        return output.flush();
    }
    if let Some(why) = fallback(answer.fallback()) {
        output.faint(why)?;
    }
    if answer.memories.is_empty() {
        return output.faint(&format!("nothing is known about it ({} entries searched)", answer.searched));
    }
    let mut rows = Rows::new(&["SCORE", "NAMESPACE", "KEY", "CONTENT"]);
    for memory in &answer.memories {
        let Some(entry) = &memory.entry else { continue };
        let score = format!("{:.3}", memory.score);
        rows.push(&[
            score,
            entry.namespace.clone(),
            entry.key.clone(),
            excerpt(&entry.content, EXCERPT_CHARS_MAX),
        ]);
    }
    output.table(&rows.align_right(&[0]))?;
    if args.explain {
        for memory in &answer.memories {
            explain(memory, output)?;
        }
    }
    output.flush()
}

fn memory_view(memory: &v1::Memory) -> Option<MemoryView<'_>> {
    Some(MemoryView {
        score: memory.score,
        entry: EntryView::full(memory.entry.as_ref()?),
        explanation: memory.explanation.as_ref().map(explained),
        duplicates: memory
            .duplicates
            .iter()
            .map(|n| NameView { namespace: &n.namespace, key: &n.key })
            .collect(),
    })
}

fn explained(of: &v1::Explanation) -> ExplanationView<'_> {
    ExplanationView {
        lexical: of.lexical,
        lexical_best: of.lexical_best,
        semantic: of.semantic,
        semantic_best: of.semantic_best,
        share: of.share,
        speaker_bonus: of.speaker_bonus,
        time_bonus: of.time_bonus,
        telling_bonus: of.telling_bonus,
        asking_bonus: of.asking_bonus,
        recency: of.recency,
        importance: of.importance,
        utility: of.utility,
        likeness: of.likeness,
        words: of.words.iter().map(|share| (&*share.word, share.share)).collect(),
    }
}

fn explain(memory: &v1::Memory, output: &mut Output) -> Result<(), Error> {
    let (Some(entry), Some(of)) = (&memory.entry, &memory.explanation) else { return Ok(()) };
    let words: Vec<_> = of.words.iter().map(|share| format!("{} {:.2}", share.word, share.share)).collect();
    let bonuses = [
        ("speaker", of.speaker_bonus),
        ("time", of.time_bonus),
        ("tells when", of.telling_bonus),
        ("asks", of.asking_bonus),
    ];
    let bonuses = bonuses
        .iter()
        .filter(|(_, bonus)| *bonus != 0.0)
        .map(|(name, bonus)| format!("; {name} {bonus:+.3}"));
    output.line("")?;
    output.line(&format!("{:.3} {}/{}", memory.score, entry.namespace, entry.key))?;
    output.line(&format!(
        "  words {:.3} of {:.3} ({}); meaning {:.3} of {:.3}, share {:.2}{}; recency {:.3}, importance {:.3}, utility {:.3}, likeness {:.3}",
        of.lexical,
        of.lexical_best,
        words.join(", "),
        of.semantic,
        of.semantic_best,
        of.share,
        bonuses.collect::<String>(),
        of.recency,
        of.importance,
        of.utility,
        of.likeness
    ))
}

pub(super) async fn context(global: &Global, args: ContextArgs, output: &mut Output) -> Result<(), Error> {
    let request = v1::ContextRequest {
        query: args.query,
        filter: Some(args.filter.into_filter()),
        max_tokens: args.max_tokens,
        consistency: args.strong.then(strong),
        ..Default::default()
    };
    let answer = global.connect().await?.context(request).await?;
    if output.format() == Format::Json {
        return output.json(&ContextView {
            text: &answer.text,
            tokens: answer.tokens,
            estimated: answer.estimated,
            left_out: answer.left_out,
            references: answer.references.iter().map(reference).collect(),
        });
    }
    if let Some(why) = fallback(answer.fallback()) {
        output.faint(why)?;
    }
    match answer.text.as_str() {
        "" if answer.left_out > 0 => {
            output.faint("what is known about it is longer than --max-tokens allows")
        }
        "" => output.faint("nothing is known about it"),
        text => output.text(text),
    }
}

fn reference(of: &v1::Reference) -> ReferenceView<'_> {
    let (namespace, key) = of.entry.as_ref().map_or(("", ""), |entry| (&*entry.namespace, &*entry.key));
    ReferenceView { label: &of.label, namespace, key, score: of.score }
}

fn strong() -> v1::Consistency {
    v1::Consistency { level: v1::consistency::Level::Strong.into(), ..Default::default() }
}

fn fallback(why: v1::Fallback) -> Option<&'static str> {
    match why {
        v1::Fallback::Unspecified => None,
        v1::Fallback::EmptyQuery => Some("the question is empty: these are the newest entries"),
        v1::Fallback::NoWords => {
            Some("no word of the question says what it is about: these are the newest entries")
        }
    }
}
