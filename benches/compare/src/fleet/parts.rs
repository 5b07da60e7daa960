//! What a put on one coordinator and its event on another are made of, each by itself: our transaction, Redis's publish and
//! subscribe, a call and a delivery of tonic; and a bare commit. All at a given pace, where waking up is a part of it.

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use redis::AsyncCommands as _;
use swarmem::{
    bench::{
        Operation,
        audience::{Look, Subscription as _},
        latency::Latency,
        material::{self, Keys, NAMESPACE},
        paced, put,
    },
    client::Client,
    domain::{
        entry::Body,
        limits::Limits,
        namespace::{AgentId, EntryPath, Key, Namespace},
        request::{Condition, Operation as Change, Request},
        swarm::{Nonce, SwarmId},
    },
    store::{
        Batch, Store as _,
        postgres::{PostgresOptions, PostgresStore},
    },
};
use tokio::sync::mpsc;

use super::{CONTENT_BYTES, connect, servers::Fleet};
use crate::bare::{self, Server};

/// About as much as the bus carries for one entry.
const MESSAGE_BYTES: usize = CONTENT_BYTES + 200;
const CHANNEL: &str = "compare";

/// Everything that the parts need.
pub struct Parts {
    pub sql: Arc<tokio_postgres::Client>,
    store: Arc<PostgresStore>,
    redis: redis::Client,
    bare: Client,
    _server: Server,
}

impl Parts {
    pub async fn build(fleet: &Fleet, server: Server) -> anyhow::Result<Self> {
        let url = fleet.postgres_url()?;
        let sql = Arc::new(connect(&url).await?);
        sql.batch_execute("CREATE TABLE compare.commits (n bigserial PRIMARY KEY, content text NOT NULL)")
            .await?;
        let store = Arc::new(PostgresStore::open(PostgresOptions::new(url)).await?);
        let redis = redis::Client::open(fleet.redis_url()?)?;
        let bare = server.clients(1).await?.remove(0);
        Ok(Self { sql, store, redis, bare, _server: server })
    }

    /// One commit of one put, by our store itself.
    pub fn transaction(&self) -> Transaction {
        Transaction { store: Arc::clone(&self.store), keys: Keys::fresh() }
    }

    /// One row in a transaction of its own.
    pub fn commit(&self) -> Commit {
        Commit(Arc::clone(&self.sql))
    }

    pub async fn publish(&self) -> anyhow::Result<Publish> {
        let publisher = self.redis.get_multiplexed_async_connection().await?;
        let mut subscriber = self.redis.get_async_pubsub().await?;
        subscriber.subscribe(CHANNEL).await?;
        let (heard, hears) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut messages = subscriber.into_on_message();
            while messages.next().await.is_some() && heard.send(Instant::now()).await.is_ok() {}
        });
        Ok(Publish { publisher, hears })
    }

    /// A call of the bare server.
    pub fn unary(&self) -> Unary {
        Unary(self.bare.clone())
    }

    /// A call of the bare server, upon which it sends an event.
    pub async fn heard(&self) -> anyhow::Result<Heard> {
        Ok(Heard { client: self.bare.clone(), watch: bare::Watch::of_puts(&self.bare).await? })
    }
}

/// The median of an operation at that pace, in microseconds.
pub async fn paced_us<O>(operation: O, pace: f64, count: u64) -> anyhow::Result<f64>
where
    O: Operation<Output = Instant, Error = anyhow::Error>,
{
    let mut latency = Latency::default();
    for done in paced::run(vec![operation], pace, count).await? {
        latency.record(done.output.saturating_duration_since(done.intended));
    }
    latency.quantile_us(0.5).context("nothing was measured")
}

pub struct Transaction {
    store: Arc<PostgresStore>,
    keys: Keys,
}

impl Operation for Transaction {
    type Output = Instant;
    type Error = anyhow::Error;

    async fn run(&mut self) -> anyhow::Result<Instant> {
        let limits = Limits::default();
        let namespace =
            Namespace::parse(NAMESPACE, &limits).map_err(|_| anyhow::anyhow!("a bad namespace"))?;
        let key = Key::parse(&self.keys.draw(), &limits).map_err(|_| anyhow::anyhow!("a bad key"))?;
        let agent = AgentId::parse("bench", &limits).map_err(|_| anyhow::anyhow!("a bad agent"))?;
        let put = Change::Put {
            path: EntryPath { namespace, key },
            body: Body { content: material::content(CONTENT_BYTES).as_str().into(), ..Body::default() },
            expiry: None,
            condition: Condition::Always,
        };
        let request =
            Request::write(agent, None, vec![put], &limits).map_err(|_| anyhow::anyhow!("a bad put"))?;
        let swarm = SwarmId::parse("parts").map_err(|_| anyhow::anyhow!("a bad swarm"))?;
        let nonce = Nonce(uuid::Uuid::new_v4().into_bytes());
        self.store
            .commit(&swarm, &Batch::new(vec![Arc::new(request)], nonce, limits))
            .await
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        Ok(Instant::now())
    }
}

pub struct Commit(Arc<tokio_postgres::Client>);

impl Operation for Commit {
    type Output = Instant;
    type Error = anyhow::Error;

    async fn run(&mut self) -> anyhow::Result<Instant> {
        let insert = "INSERT INTO compare.commits (content) VALUES ($1)";
        self.0.execute(insert, &[&material::content(CONTENT_BYTES)]).await?;
        Ok(Instant::now())
    }
}

pub struct Publish {
    publisher: redis::aio::MultiplexedConnection,
    hears: mpsc::Receiver<Instant>,
}

impl Operation for Publish {
    type Output = Instant;
    type Error = anyhow::Error;

    async fn run(&mut self) -> anyhow::Result<Instant> {
        let _: i64 = self.publisher.publish(CHANNEL, material::content(MESSAGE_BYTES)).await?;
        self.hears.recv().await.context("the subscription ended")
    }
}

pub struct Unary(Client);

impl Operation for Unary {
    type Output = Instant;
    type Error = anyhow::Error;

    async fn run(&mut self) -> anyhow::Result<Instant> {
        self.0.put(put::entry("k".to_owned(), material::content(CONTENT_BYTES))).await?;
        Ok(Instant::now())
    }
}

pub struct Heard {
    client: Client,
    watch: bare::Watch,
}

impl Operation for Heard {
    type Output = Instant;
    type Error = anyhow::Error;

    async fn run(&mut self) -> anyhow::Result<Instant> {
        let put = self.client.put(put::entry("k".to_owned(), material::content(CONTENT_BYTES)));
        let heard = async {
            self.watch.next(Look::Decodes).await?;
            Ok::<_, anyhow::Error>(Instant::now())
        };
        let (put, heard) = tokio::join!(put, heard);
        put?;
        heard
    }
}
