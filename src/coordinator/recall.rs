//! Answering questions: settles the state to be asked, has its mirrors loaded and moved on, ranks them, and fetches the bodies of what
//! was found. What the caller may not see, and what has expired, is not there. Knows of scores nothing (ADR 16).

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::Instant;

use super::{
    Coordinator, Error, Shared, detached,
    mirrors::{Held, computed},
    read::{Consistency, Read, verify},
};
use crate::{
    domain::{
        Invalid,
        access::Principal,
        entry::Version,
        namespace::EntryPath,
        position::{Position, Purpose},
        query::Filter,
        swarm::{Revision, SwarmId},
    },
    recall::rank::{self, Hit, Meaning, Question, Ranking, Scope, Vagueness},
    store::At,
};

/// Bodies that are read from the store in one go.
const BODIES_AT_ONCE: usize = 64;
/// A history that changes while it is asked is asked anew so often.
const TRIES: usize = 3;

/// What is asked.
#[derive(Clone, Debug)]
pub struct RecallQuery {
    /// In words.
    pub text: String,
    /// By what meaning is compared.
    pub meaning: Meaning,
    /// Among which entries; prefixes as asked for, not narrowed.
    pub filter: Filter,
    /// At most so many.
    pub limit: usize,
    /// Whether what has been superseded or resolved is wanted, too.
    pub with_settled: bool,
    /// Whether it is wanted what each word gave.
    pub explain: bool,
    /// How fresh.
    pub consistency: Consistency,
    /// Until when it may wait for the state that it needs.
    pub deadline: Instant,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// Best first, with their bodies.
    pub memories: Vec<(Hit, Arc<Version>)>,
    /// Why there is only the newest, if there is.
    pub vague: Option<Vagueness>,
    /// How many entries were searched.
    pub searched: u64,
    /// The model whose vectors were compared, if any were.
    pub model: Option<&'static str>,
}

/// What ranking came to.
enum Ranked {
    Done(Ranking, Position),
    /// These mirrors are not there,
    Missing(BTreeSet<Box<str>>),
    /// or not even known.
    Unknown {
        tree: usize,
    },
}

impl Coordinator {
    /// What the swarm knows about a question, best first.
    ///
    /// # Errors
    /// Of tokens; [`Error::Invalid`] for a read of the past; [`Error::NotCached`] while the store does not answer and a mirror or a
    /// body is not held; [`Error::DeadlineExceeded`].
    pub async fn recall(
        &self,
        caller: &Principal,
        swarm: &SwarmId,
        query: RecallQuery,
    ) -> Result<Read<Recalled>, Error> {
        let prefixes = caller.readable().narrow(query.filter.prefixes.as_deref().unwrap_or_default());
        let filter = Filter { prefixes, ..query.filter.clone() };
        let query = Arc::new(RecallQuery { filter, ..query });
        let permit = self.shared.reads.take(1)?;
        let begun = Instant::now();
        let mut tries = 1;
        let answer = loop {
            let held = self.shared.mirrors.of(&self.shared, swarm);
            match answer(&self.shared, swarm, &held, &query).await {
                // The history that was followed is over; whether the swarm is there tells the next one.
                Err(Error::IncarnationChanged | Error::SwarmDeleted) if held.is_over() && tries < TRIES => {
                    self.shared.mirrors.forget(swarm, &held);
                    tries += 1;
                }
                answer => break answer,
            }
        };
        drop(permit);
        self.shared.metrics.recall(begun.elapsed());
        match answer {
            Err(Error::SwarmDeleted) => Err(Error::SwarmNotFound),
            Err(error) if query.consistency == Consistency::StaleOk && error.is_store_trouble() => {
                Err(Error::NotCached)
            }
            answer => answer,
        }
    }
}

async fn answer(
    shared: &Arc<Shared>,
    swarm: &SwarmId,
    held: &Arc<Held>,
    query: &Arc<RecallQuery>,
) -> Result<Read<Recalled>, Error> {
    held.touch(shared.mirrors.tick());
    let least = least(shared, swarm, held, &query.consistency).await?;
    held.reach(shared, least, query.deadline).await?;
    let meaning = if shared.mirrors.embeds() { query.meaning.clone() } else { Meaning::None };
    let question = Arc::new(Question::new(&query.text, meaning));
    loop {
        let (held_too, query_too, shared_too) = (Arc::clone(held), Arc::clone(query), Arc::clone(shared));
        let question = Arc::clone(&question);
        match computed(shared, move || rank_held(&shared_too, &held_too, &query_too, &question)).await?? {
            Ranked::Missing(roots) => {
                for root in roots {
                    held.load(shared, &root).await?;
                }
            }
            Ranked::Unknown { tree } => held.look_up(shared, tree).await?,
            Ranked::Done(ranking, position) => {
                return with_bodies(shared, swarm, ranking, position).await;
            }
        }
    }
}

/// The revision that has to be reached.
async fn least(
    shared: &Arc<Shared>,
    swarm: &SwarmId,
    held: &Arc<Held>,
    consistency: &Consistency,
) -> Result<Revision, Error> {
    match consistency {
        Consistency::StaleOk => Ok(Revision(0)),
        Consistency::Exact(_) => {
            let problem = "recall ranks the newest state; leave it out, or use a token";
            Err(Invalid::new("consistency.revision", problem).into())
        }
        Consistency::Strong => {
            let (store, swarm) = (Arc::clone(&shared.store), swarm.clone());
            detached(shared, async move { Ok(store.swarm(&swarm).await?.head.mark.revision) }).await
        }
        Consistency::AtLeast(token) => {
            let opened = shared.tokens.open(swarm, Purpose::Position, token);
            let (position, _) = opened.map_err(|error| error.within("consistency"))?;
            let revision = position.mark.revision;
            match held.knows(&position) {
                Some(true) => return Ok(revision),
                Some(false) => return Err(Error::IncarnationChanged),
                None => {}
            }
            let (shared_too, swarm) = (Arc::clone(shared), swarm.clone());
            let verified = async move {
                match verify(&shared_too, &swarm, &position).await {
                    // Below the floor there is nothing to compare with, and the mirrors are past it for certain.
                    Err(Error::Compacted { .. }) | Ok(()) => Ok(revision),
                    Err(error) => Err(error),
                }
            };
            detached(shared, verified).await
        }
    }
}

/// Ranks what is held, if all that is asked for is.
fn rank_held(
    shared: &Shared,
    held: &Held,
    query: &RecallQuery,
    question: &Question,
) -> Result<Ranked, Error> {
    let state = held.state();
    let Some(position) = state.position() else { return Err(Error::Unavailable) };
    let roots = match state.roots().below(query.filter.prefixes.as_deref()) {
        Ok(roots) => roots,
        Err(tree) => return Ok(Ranked::Unknown { tree }),
    };
    let tick = shared.mirrors.tick();
    let mut mirrors = Vec::with_capacity(roots.len());
    let mut missing = BTreeSet::new();
    for root in roots {
        match state.mirror(&root, tick) {
            Some(mirror) => mirrors.push(mirror),
            None => drop(missing.insert(root)),
        }
    }
    if !missing.is_empty() {
        return Ok(Ranked::Missing(missing));
    }
    let scope = Scope {
        filter: &query.filter,
        now: shared.clock.now(),
        with_settled: query.with_settled,
        explain: query.explain,
    };
    Ok(Ranked::Done(rank::rank(&mirrors, question, scope, query.limit), position))
}

/// Fetches what was ranked, at the very revision that was ranked.
async fn with_bodies(
    shared: &Arc<Shared>,
    swarm: &SwarmId,
    ranking: Ranking,
    position: Position,
) -> Result<Read<Recalled>, Error> {
    let Ranking { hits, vague, searched, model } = ranking;
    let mut bodies: Vec<Option<Arc<Version>>> =
        hits.iter().map(|hit| shared.mirrors.bodies.get(swarm, &hit.path, hit.revision)).collect();
    let absent: Vec<usize> = (0..hits.len()).filter(|&at| bodies[at].is_none()).collect();
    for some in absent.chunks(BODIES_AT_ONCE) {
        let paths: Vec<EntryPath> = some.iter().map(|&at| hits[at].path.clone()).collect();
        let (store, swarm_too) = (Arc::clone(&shared.store), swarm.clone());
        let at = At::Revision(position.mark.revision);
        let read = detached(shared, async move { Ok(store.entries(&swarm_too, &paths, at).await?) }).await?;
        for (&at, version) in some.iter().zip(read.versions) {
            let version = version.filter(|version| version.mark.revision == hits[at].revision);
            if let Some(version) = &version {
                shared.mirrors.bodies.put(swarm, Arc::clone(version));
            }
            bodies[at] = version;
        }
    }
    let memories = hits.into_iter().zip(bodies).filter_map(|(hit, body)| Some((hit, body?))).collect();
    Ok(Read { value: Recalled { memories, vague, searched, model }, position })
}
