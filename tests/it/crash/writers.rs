//! Clients that write until they are told to stop, and repeat each request under its id until they know what became
//! of it. Knows nothing of when the coordinator dies.

use std::time::Duration;

use swarmem::{
    client::{Client, Code, Error, Transport},
    wire::v1::{self, memory_service_client::MemoryServiceClient, precondition::Condition},
};
use tokio::sync::watch;
use tonic::{Response, Status};

use super::{
    history::{Change, Outcome, Write},
    random::Random,
};
use crate::process::eventually;

/// What a writer does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A new entry each time.
    Put,
    /// One of a few private entries.
    Overwrite,
    /// The one entry that others replace, too, each time on condition of its etag.
    Contend,
    /// Several entries at once.
    Batch,
    /// Compares and puts and a delete in one.
    Transact,
    /// A put, then its delete.
    Delete,
    /// A batch, then the delete of all of it by its prefix.
    DeletePrefix,
    /// Entries that expire soon, or late.
    Expire,
}

/// What the writers of a storm do; each is an agent of its own, `w0`, `w1`, and so on.
pub const WRITERS: [Work; 10] = [
    Work::Put,
    Work::Overwrite,
    Work::Contend,
    Work::Contend,
    Work::Batch,
    Work::Batch,
    Work::Transact,
    Work::Delete,
    Work::DeletePrefix,
    Work::Expire,
];

/// One that writes.
pub struct Writer {
    pub client: Client,
    pub work: Work,
    pub random: Random,
    /// Counts the acknowledged writes of all.
    pub progress: watch::Sender<u64>,
    written: Vec<Write>,
    /// How many transactions were done.
    transactions: u64,
}

type Answer<T> = Result<T, Status>;

impl Writer {
    pub fn new(client: Client, work: Work, random: Random, progress: watch::Sender<u64>) -> Self {
        Self { client, work, random, progress, written: Vec::new(), transactions: 0 }
    }

    /// Writes until it is told to stop, and knows of each write what became of it.
    pub async fn write(mut self, stop: watch::Receiver<bool>) -> Vec<Write> {
        while !*stop.borrow() {
            match self.work {
                Work::Put => self.put("shared/facts", None, None).await,
                Work::Overwrite => {
                    let namespace = format!("agents/{}/notes", self.agent());
                    let key = format!("note-{}", self.random.below(5));
                    self.put(&namespace, Some(key), None).await;
                }
                Work::Contend => self.contend().await,
                Work::Batch => drop(self.batch("shared/batches").await),
                Work::Transact => self.transact().await,
                Work::Delete => self.put_and_delete().await,
                Work::DeletePrefix => self.put_and_sweep().await,
                Work::Expire => {
                    let ms = if self.random.below(8) == 0 { 3_600_000 } else { 20 + self.random.below(400) };
                    self.put("shared/brief", None, Some(Duration::from_millis(ms))).await;
                }
            }
        }
        self.written
    }

    fn agent(&self) -> String {
        self.client.options().agent.clone()
    }

    fn swarm(&self) -> String {
        self.client.options().swarm.clone()
    }

    /// A name for the next write, which is its request id, too.
    fn name(&self) -> String {
        format!("{}-{:?}-{}", self.agent(), self.work, self.written.len())
    }

    fn operation(&mut self, write: &str, namespace: &str, key: Option<String>) -> v1::PutOperation {
        // Now and then one that does not fit into a response with others.
        let length = if self.random.below(10) == 0 { 8_000 } else { self.random.below(200) };
        let key = key.unwrap_or_else(|| write.to_owned());
        v1::PutOperation {
            namespace: namespace.to_owned(),
            content: format!("{write} {key} {}", "x".repeat(usize::try_from(length).unwrap())),
            key,
            tags: if self.random.below(3) == 0 { vec!["third".into()] } else { Vec::new() },
            ..Default::default()
        }
    }

    /// Repeats a request until it is known what became of it.
    async fn settle<T>(
        &self,
        call: impl AsyncFn(MemoryServiceClient<Transport>) -> Answer<Response<T>>,
    ) -> Answer<T> {
        eventually("the outcome of a write", async || match call(self.client.memory()).await {
            Ok(response) => Some(Ok(response.into_inner())),
            Err(status) if is_open(&status) => None,
            Err(status) => Some(Err(status)),
        })
        .await
    }

    fn record(&mut self, name: String, outcome: Outcome) {
        if matches!(outcome, Outcome::Done { .. }) {
            self.progress.send_modify(|acknowledged| *acknowledged += 1);
        }
        self.written.push(Write { name, outcome });
    }

    async fn put(&mut self, namespace: &str, key: Option<String>, ttl: Option<Duration>) {
        let name = self.name();
        let expiry = ttl.map(|ttl| v1::put_operation::Expiry::Ttl(ttl.try_into().unwrap()));
        let put = v1::PutOperation { expiry, ..self.operation(&name, namespace, key) };
        self.send_put(name, put, None).await;
    }

    async fn send_put(&mut self, name: String, put: v1::PutOperation, expected: Option<String>) {
        let request =
            v1::PutRequest { swarm: self.swarm(), put: Some(put.clone()), request_id: name.clone() };
        let answer = self.settle(async |mut memory| memory.put(request.clone()).await).await;
        let outcome = match answer {
            Ok(response) => {
                let result = response.result.unwrap();
                Outcome::Done {
                    revision: Some(result.revision),
                    changes: vec![change(&put, &result, expected)],
                }
            }
            Err(status) if expected.is_some() && status.code() == Code::Aborted => Outcome::Refused,
            Err(status) => Outcome::Failed(status.to_string()),
        };
        self.record(name, outcome);
    }

    async fn contend(&mut self) {
        let (namespace, key) = ("shared/contended", "the-one");
        let get = v1::GetRequest {
            swarm: self.swarm(),
            namespace: namespace.into(),
            key: key.into(),
            consistency: None,
        };
        let expected = match self.settle(async |mut memory| memory.get(get.clone()).await).await {
            Ok(response) => response.entry.unwrap().etag,
            Err(status) if status.code() == Code::NotFound => String::new(),
            Err(status) => return self.record("a get".into(), Outcome::Failed(status.to_string())),
        };
        let condition =
            if expected.is_empty() { Condition::Absent(true) } else { Condition::Etag(expected.clone()) };
        let name = self.name();
        let precondition = Some(v1::Precondition { condition: Some(condition) });
        let put = v1::PutOperation { precondition, ..self.operation(&name, namespace, Some(key.into())) };
        self.send_put(name, put, Some(expected)).await;
    }

    /// Puts 2 to 6 entries, and returns their keys.
    async fn batch(&mut self, namespace: &str) -> Vec<String> {
        let name = self.name();
        let keys: Vec<_> = (0..2 + self.random.below(5)).map(|index| format!("{name}.{index}")).collect();
        let puts: Vec<_> =
            keys.iter().map(|key| self.operation(&name, namespace, Some(key.clone()))).collect();
        let request =
            v1::BatchPutRequest { swarm: self.swarm(), puts: puts.clone(), request_id: name.clone() };
        let answer = self.settle(async |mut memory| memory.batch_put(request.clone()).await).await;
        let outcome = match answer {
            Ok(response) => Outcome::Done {
                revision: Some(response.results[0].revision),
                changes: puts.iter().zip(&response.results).map(|(put, r)| change(put, r, None)).collect(),
            },
            Err(status) => Outcome::Failed(status.to_string()),
        };
        self.record(name, outcome);
        keys
    }

    /// Nobody else writes the entry it compares, so the comparison holds, unless a repeated request was done twice.
    async fn transact(&mut self) {
        use v1::{compare, operation, operation_result};
        let (name, agent) = (self.name(), self.agent());
        let ledger = v1::EntryName { namespace: "shared/ledger".into(), key: agent.clone() };
        let moves = format!("shared/moves/{agent}");
        let count = self.operation(&name, &ledger.namespace, Some(ledger.key.clone()));
        let step = self.operation(&name, &moves, Some(self.transactions.to_string()));
        let last = self.transactions.checked_sub(1).map(|last| v1::DeleteOperation {
            namespace: moves.clone(),
            key: last.to_string(),
            precondition: None,
        });
        let operations = [operation::Operation::Put(count.clone()), operation::Operation::Put(step.clone())]
            .into_iter()
            .chain(last.clone().map(operation::Operation::Delete));
        let request = v1::TransactRequest {
            swarm: self.swarm(),
            compares: vec![v1::Compare {
                target: Some(compare::Target::Entry(ledger)),
                operator: compare::Operator::Eq.into(),
                value: Some(compare::Value::Version(self.transactions)),
            }],
            success: operations.map(|operation| v1::Operation { operation: Some(operation) }).collect(),
            failure: Vec::new(),
            request_id: name.clone(),
        };
        let answer = self.settle(async |mut memory| memory.transact(request.clone()).await).await;
        let outcome = match answer {
            Ok(response) if !response.succeeded => Outcome::Failed("a comparison did not hold".into()),
            Ok(response) => {
                self.transactions += 1;
                let puts = [count, step];
                let results = response.results.iter().filter_map(|result| match &result.result {
                    Some(operation_result::Result::Put(put)) => Some(put),
                    _ => None,
                });
                let mut changes: Vec<_> =
                    puts.iter().zip(results).map(|(put, result)| change(put, result, None)).collect();
                changes.extend(last.map(|delete| Change::Delete { namespace: moves, key: delete.key }));
                Outcome::Done { revision: Some(response.revision), changes }
            }
            Err(status) => Outcome::Failed(status.to_string()),
        };
        self.record(name, outcome);
    }

    async fn put_and_delete(&mut self) {
        let namespace = "shared/doomed".to_owned();
        let key = self.name();
        self.put(&namespace, None, None).await;
        let name = self.name();
        let delete =
            v1::DeleteOperation { namespace: namespace.clone(), key: key.clone(), precondition: None };
        let request =
            v1::DeleteRequest { swarm: self.swarm(), delete: Some(delete), request_id: name.clone() };
        let outcome = match self.settle(async |mut memory| memory.delete(request.clone()).await).await {
            Ok(response) if response.result.unwrap().deleted => {
                Outcome::Done { revision: None, changes: vec![Change::Delete { namespace, key }] }
            }
            Ok(_) => Outcome::Failed("there was nothing to delete".into()),
            Err(status) => Outcome::Failed(status.to_string()),
        };
        self.record(name, outcome);
    }

    async fn put_and_sweep(&mut self) {
        let namespace = format!("shared/swept/{}", self.name());
        let keys = self.batch(&namespace).await;
        let name = self.name();
        let delete = v1::DeletePrefixOperation { prefix: namespace.clone(), limit: 0 };
        let request =
            v1::DeletePrefixRequest { swarm: self.swarm(), delete: Some(delete), request_id: name.clone() };
        let outcome = match self.settle(async |mut memory| memory.delete_prefix(request.clone()).await).await
        {
            Ok(response) if response.result.unwrap().deleted == keys.len() as u64 => {
                let delete = |key| Change::Delete { namespace: namespace.clone(), key };
                Outcome::Done { revision: None, changes: keys.into_iter().map(delete).collect() }
            }
            Ok(_) => Outcome::Failed("another number of entries was deleted".into()),
            Err(status) => Outcome::Failed(status.to_string()),
        };
        self.record(name, outcome);
    }
}

fn change(put: &v1::PutOperation, result: &v1::PutResult, expected: Option<String>) -> Change {
    Change::Put {
        namespace: put.namespace.clone(),
        key: result.key.clone(),
        content: put.content.clone(),
        etag: result.etag.clone(),
        expected,
    }
}

/// Whether the answer leaves open what became of the request, or says that it is worth repeating. What has no reason is
/// not of the coordinator: its connection broke.
pub fn is_open(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::DeadlineExceeded)
        || Error::from(status.clone()).reason().is_none()
}
