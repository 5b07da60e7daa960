//! Short words for requests. Knows no store.

use std::{sync::Arc, time::Duration};

use swarmem::domain::{
    entry::{Body, Etag},
    limits::Limits,
    namespace::{AgentId, EntryPath, Key, Namespace, Prefix},
    request::{Compare, Comparison, Condition, Idempotency, Operation, Request, RequestId, Target, Test},
    swarm::Mark,
    time::Expiry,
};

pub fn path(namespace: &str, key: &str) -> EntryPath {
    let limits = Limits::default();
    EntryPath {
        namespace: Namespace::parse(namespace, &limits).unwrap(),
        key: Key::parse(key, &limits).unwrap(),
    }
}

pub fn prefix(text: &str) -> Prefix {
    Prefix::parse(text, &Limits::default()).unwrap()
}

pub fn body(content: &str) -> Body {
    Body { content: content.into(), ..Body::default() }
}

pub mod op {
    //! Operations.
    use super::*;

    pub fn put(namespace: &str, key: &str, content: &str) -> Operation {
        put_if(namespace, key, content, Condition::Always)
    }

    pub fn put_if(namespace: &str, key: &str, content: &str, condition: Condition) -> Operation {
        Operation::Put { path: path(namespace, key), body: body(content), expiry: None, condition }
    }

    pub fn put_for(namespace: &str, key: &str, content: &str, seconds: u64) -> Operation {
        let expiry = Some(Expiry::after(Duration::from_secs(seconds)).unwrap());
        Operation::Put {
            path: path(namespace, key),
            body: body(content),
            expiry,
            condition: Condition::Always,
        }
    }

    pub fn delete(namespace: &str, key: &str) -> Operation {
        delete_if(namespace, key, Condition::Always)
    }

    pub fn delete_if(namespace: &str, key: &str, condition: Condition) -> Operation {
        Operation::Delete { path: path(namespace, key), condition }
    }

    pub fn delete_below(text: &str, limit: Option<usize>) -> Operation {
        Operation::DeletePrefix { prefix: prefix(text), limit }
    }

    pub fn get(namespace: &str, key: &str) -> Operation {
        Operation::Get { path: path(namespace, key) }
    }

    pub fn expire(namespace: &str, key: &str) -> Operation {
        Operation::Expire { path: path(namespace, key) }
    }
}

pub fn agent(name: &str) -> AgentId {
    AgentId::parse(name, &Limits::default()).unwrap()
}

pub fn write(operations: Vec<Operation>) -> Request {
    Request::write(agent("ann"), None, operations, &Limits::default()).unwrap()
}

pub fn put(namespace: &str, key: &str, content: &str) -> Request {
    write(vec![op::put(namespace, key, content)])
}

pub fn put_if(namespace: &str, key: &str, content: &str, condition: Condition) -> Request {
    write(vec![op::put_if(namespace, key, content, condition)])
}

pub fn put_for(namespace: &str, key: &str, content: &str, seconds: u64) -> Request {
    write(vec![op::put_for(namespace, key, content, seconds)])
}

pub fn delete(namespace: &str, key: &str) -> Request {
    write(vec![op::delete(namespace, key)])
}

pub fn delete_below(text: &str, limit: Option<usize>) -> Request {
    write(vec![op::delete_below(text, limit)])
}

pub fn transaction(compares: Vec<Compare>, success: Vec<Operation>, failure: Vec<Operation>) -> Request {
    Request::transaction(agent("ann"), None, compares, success, failure, &Limits::default()).unwrap()
}

/// A request under an id; the digest stands for what it asks.
pub fn once(author: &str, id: &str, digest: u8, operations: Vec<Operation>) -> Request {
    let idempotency = Idempotency { id: RequestId::parse(id).unwrap(), digest: [digest; 16] };
    Request::write(agent(author), Some(idempotency), operations, &Limits::default()).unwrap()
}

pub fn etag(mark: Mark) -> Condition {
    Condition::Etag(Etag(mark))
}

pub fn on(namespace: &str, key: &str, test: Test) -> Compare {
    Compare { target: Target::Entry(path(namespace, key)), test }
}

pub fn below(text: &str, test: Test) -> Compare {
    Compare { target: Target::Below(prefix(text)), test }
}

pub fn content(comparison: Comparison, with: &str) -> Test {
    Test::Content(comparison, Arc::from(with))
}
