//! `RecallService`: questions.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Service, encode, parse, status::invalid};
use crate::{
    coordinator::{
        read::{Consistency, Read},
        recall::{RecallQuery, Recalled},
    },
    domain::{Invalid, entry::Version, namespace::EntryPath},
    recall::{
        embed::{DIMENSIONS, StaticModel, Vector},
        pack::pack,
        rank::{Factors, Hit, Meaning, Vagueness},
    },
    wire::v1::{self, recall_service_server::RecallService},
};

type Answer<T> = Result<Response<T>, Status>;

/// A question may have so many bytes.
const QUERY_BYTES_MAX: usize = 16 << 10;
/// So many memories are answered unless more are asked for,
const LIMIT_DEFAULT: u32 = 10;
/// and never more than these.
const LIMIT_MAX: u32 = 1_000;
/// The tokens of a context.
const TOKENS_DEFAULT: u32 = 2_000;
const TOKENS: std::ops::RangeInclusive<u32> = 16..=1_000_000;
/// A memory takes about so many tokens at least, so that no more are ranked than could fit.
const TOKENS_PER_MEMORY: u32 = 12;

#[tonic::async_trait]
impl RecallService for Service {
    async fn recall(&self, request: Request<v1::RecallRequest>) -> Answer<v1::RecallResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let message = &mut call.message;
        let query = RecallQuery {
            text: question(std::mem::take(&mut message.query)).map_err(invalid)?,
            meaning: meaning(&message.embedding, &message.embedding_model).map_err(invalid)?,
            filter: parse::filter(message.filter.take(), self.coordinator.limits()).map_err(invalid)?,
            limit: limit(message.limit).map_err(invalid)? as usize,
            with_settled: message.include_settled,
            explain: message.explain,
            consistency: consistency(message.consistency.take()).map_err(invalid)?,
            deadline: call.deadline,
        };
        let explain = query.explain;
        let Read { value, position } =
            call.read(self.coordinator.recall(&call.caller, &swarm, query)).await?;
        let Recalled { memories, vague, searched, model } = value;
        call.hold(memories.iter().map(|(_, version)| version.weight()).sum())?;
        Ok(Response::new(v1::RecallResponse {
            memories: memories.iter().map(|(hit, version)| memory(hit, version, explain)).collect(),
            fallback: fallback(vague).into(),
            searched,
            embedding_model: model.unwrap_or_default().to_owned(),
            token: self.token(&swarm, &position),
            revision: position.mark.revision.0,
        }))
    }

    async fn context(&self, request: Request<v1::ContextRequest>) -> Answer<v1::ContextResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let message = &mut call.message;
        let tokens_max = tokens(message.max_tokens).map_err(invalid)?;
        let query = RecallQuery {
            text: question(std::mem::take(&mut message.query)).map_err(invalid)?,
            meaning: Meaning::BuiltIn,
            filter: parse::filter(message.filter.take(), self.coordinator.limits()).map_err(invalid)?,
            limit: (tokens_max / TOKENS_PER_MEMORY).clamp(1, LIMIT_MAX / 5) as usize,
            with_settled: false,
            explain: false,
            consistency: consistency(message.consistency.take()).map_err(invalid)?,
            deadline: call.deadline,
        };
        let Read { value, position } =
            call.read(self.coordinator.recall(&call.caller, &swarm, query)).await?;
        let packed = pack(&value.memories, tokens_max as usize);
        call.hold(packed.text.len())?;
        let reference = |(label, path, score): (String, EntryPath, f32)| v1::Reference {
            label,
            entry: Some(name(&path)),
            score: score.into(),
        };
        Ok(Response::new(v1::ContextResponse {
            text: packed.text,
            tokens: packed.tokens as u32,
            estimated: true,
            references: packed.references.into_iter().map(reference).collect(),
            left_out: packed.left_out as u32,
            fallback: fallback(value.vague).into(),
            token: self.token(&swarm, &position),
            revision: position.mark.revision.0,
        }))
    }
}

fn question(text: String) -> parse::Parsed<String> {
    if text.len() > QUERY_BYTES_MAX {
        let problem = format!("{} bytes, at most {QUERY_BYTES_MAX} are allowed", text.len());
        return Err(Invalid::new("query", problem));
    }
    Ok(text)
}

fn limit(limit: u32) -> parse::Parsed<u32> {
    match limit {
        0 => Ok(LIMIT_DEFAULT),
        limit if limit <= LIMIT_MAX => Ok(limit),
        limit => Err(Invalid::new("limit", format!("{limit}, at most {LIMIT_MAX} are allowed"))),
    }
}

fn tokens(tokens: u32) -> parse::Parsed<u32> {
    match tokens {
        0 => Ok(TOKENS_DEFAULT),
        tokens if TOKENS.contains(&tokens) => Ok(tokens),
        tokens => Err(Invalid::new("max_tokens", format!("{tokens}, 16 to 1,000,000 are allowed"))),
    }
}

/// Unlike other reads, a question asks for no more than the coordinator knows.
fn consistency(wire: Option<v1::Consistency>) -> parse::Parsed<Consistency> {
    match wire {
        None => Ok(Consistency::StaleOk),
        Some(_) => parse::consistency(wire),
    }
}

fn meaning(embedding: &[f32], model: &str) -> parse::Parsed<Meaning> {
    let wrong = |field: &str, problem: String| Err(Invalid::new(field, problem));
    match (embedding, model) {
        ([], "") => Ok(Meaning::BuiltIn),
        ([], _) => wrong("embedding", "is required with embedding_model".into()),
        (_, StaticModel::NAME) if embedding.len() != DIMENSIONS => {
            wrong("embedding", format!("{} numbers, {model} has {DIMENSIONS}", embedding.len()))
        }
        (_, StaticModel::NAME) => match Vector::quantise(embedding) {
            Some(vector) => Ok(Meaning::Given(vector)),
            None => wrong("embedding", "must have finite numbers, and one that is not 0".into()),
        },
        (_, _) => {
            wrong("embedding_model", format!("must be {}, the model of the entries", StaticModel::NAME))
        }
    }
}

fn fallback(vague: Option<Vagueness>) -> v1::Fallback {
    match vague {
        None => v1::Fallback::Unspecified,
        Some(Vagueness::Empty) => v1::Fallback::EmptyQuery,
        Some(Vagueness::NoWords) => v1::Fallback::NoWords,
    }
}

fn memory(hit: &Hit, version: &Arc<Version>, explain: bool) -> v1::Memory {
    v1::Memory {
        entry: Some(encode::entry(version, false)),
        score: hit.score.into(),
        explanation: explain.then(|| explanation(&hit.factors)),
        duplicates: hit.duplicates.iter().map(name).collect(),
    }
}

fn explanation(factors: &Factors) -> v1::Explanation {
    let word = |(word, share): &(String, f32)| v1::WordShare { word: word.clone(), share: (*share).into() };
    v1::Explanation {
        lexical: factors.lexical.into(),
        lexical_best: factors.lexical_best.into(),
        semantic: factors.semantic.into(),
        semantic_best: factors.semantic_best.into(),
        share: factors.share.into(),
        speaker_bonus: factors.speaker.into(),
        time_bonus: factors.time.into(),
        telling_bonus: factors.telling.into(),
        asking_bonus: factors.asking.into(),
        recency: factors.recency.into(),
        importance: factors.importance.into(),
        utility: factors.utility.into(),
        likeness: factors.likeness.into(),
        words: factors.words.iter().map(word).collect(),
    }
}

fn name(path: &EntryPath) -> v1::EntryName {
    v1::EntryName { namespace: path.namespace.as_str().into(), key: path.key.as_str().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_to_be_one_of_the_model() {
        let good = vec![0.5; DIMENSIONS];
        assert!(matches!(meaning(&good, StaticModel::NAME), Ok(Meaning::Given(_))));
        assert!(matches!(meaning(&[], ""), Ok(Meaning::BuiltIn)));
        let field = |embedding: &[f32], model: &str| meaning(embedding, model).unwrap_err().field;
        let mut bad = good.clone();
        bad[7] = f32::NAN;
        assert_eq!(field(&bad, StaticModel::NAME), "embedding");
        assert_eq!(field(&good[1..], StaticModel::NAME), "embedding");
        assert_eq!(field(&[0.0; DIMENSIONS], StaticModel::NAME), "embedding");
        assert_eq!(field(&[], StaticModel::NAME), "embedding");
        assert_eq!(field(&good, "another"), "embedding_model");
        assert_eq!(field(&good, ""), "embedding_model");
    }
}
