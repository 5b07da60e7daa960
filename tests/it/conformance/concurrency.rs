//! Many writers at once.

use std::{collections::BTreeSet, sync::Arc};

use swarmem::{
    domain::{
        limits::Limits,
        namespace::NamespaceRange,
        request::{Request, Test},
        swarm::{Mark, Nonce, Revision, SwarmId},
    },
    store::{At, Batch, Scan, Store},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Harness,
    harness::ALL,
    requests::{on, op, path, put, transaction, write},
};

const WRITERS: usize = 8;
const WRITES: usize = 12;

async fn commit(store: &Arc<dyn Store>, id: &SwarmId, request: Request) -> (bool, Option<Mark>) {
    let nonce = Nonce(Uuid::new_v4().into_bytes());
    let batch = Batch::new(vec![Arc::new(request)], nonce, Limits::default());
    let outcome = store.commit(id, &batch).await.unwrap().answers.remove(0).unwrap();
    (outcome.succeeded, outcome.taken)
}

pub async fn commits_to_one_swarm_are_ordered_without_gaps(h: &Harness) {
    let id = h.create("a").await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, id) = (h.store.clone(), id.clone());
        writers.spawn(async move {
            let mut taken = Vec::new();
            for n in 0..WRITES {
                let request = put("shared/x", &format!("{writer}-{n}"), "v");
                taken.extend(commit(&store, &id, request).await.1);
            }
            assert!(taken.is_sorted_by(|a, b| a.revision < b.revision));
            taken
        });
    }
    let taken: BTreeSet<_> = writers.join_all().await.concat().iter().map(|m| m.revision.0).collect();
    assert_eq!(taken, (1..=(WRITERS * WRITES) as u64).collect());
}

/// Each writer counts one entry up, by etag, and tries again when another was faster.
pub async fn commits_to_one_swarm_lose_no_update(h: &Harness) {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "count", "0").await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (store, id) = (h.store.clone(), id.clone());
        writers.spawn(async move {
            let mut counted = 0;
            while counted < WRITES {
                let entries = store.entries(&id, &[path("shared/x", "count")], At::Newest).await.unwrap();
                let entry = entries.versions[0].clone().unwrap();
                let next = entry.body.content.parse::<u64>().unwrap() + 1;
                let request = transaction(
                    vec![on("shared/x", "count", Test::Etag(true, entry.etag()))],
                    vec![op::put("shared/x", "count", &next.to_string())],
                    vec![],
                );
                counted += usize::from(commit(&store, &id, request).await.0);
            }
        });
    }
    writers.join_all().await;
    let expected = (WRITERS * WRITES).to_string();
    assert_eq!(h.content(&id, "shared/x", "count").await, Some(expected));
}

pub async fn commits_to_two_swarms_do_not_mix(h: &Harness) {
    let ids = [h.create("a").await, h.create("b").await];
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, id) = (h.store.clone(), ids[writer % 2].clone());
        writers.spawn(async move {
            for n in 0..WRITES {
                commit(&store, &id, put("shared/x", &format!("{writer}-{n}"), id.as_str())).await;
            }
        });
    }
    writers.join_all().await;
    for id in ids {
        assert_eq!(h.head(&id).await.mark.revision, Revision((WRITERS / 2 * WRITES) as u64));
        let entries = h.scan(&id, &NamespaceRange::all(), At::Newest, 10).await;
        assert!(entries.iter().all(|v| &*v.body.content == id.as_str()));
    }
}

/// Two entries are always written together; whoever reads them sees the same content in both, and the head that wrote it.
pub async fn readers_see_whole_commits(h: &Harness) {
    let id = h.create("a").await;
    let both = |n: usize| {
        write(vec![op::put("shared/x", "left", &n.to_string()), op::put("shared/y", "right", &n.to_string())])
    };
    h.done(&id, both(1)).await;
    let (store, of) = (h.store.clone(), id.clone());
    let writer = tokio::spawn(async move {
        for n in 2..60 {
            commit(&store, &of, both(n)).await;
        }
    });
    let range = NamespaceRange::all();
    let scan = Scan { range, after: None, at: At::Newest, limit: ALL, content: true };
    let paths = [path("shared/y", "right"), path("shared/x", "left")];
    while !writer.is_finished() {
        let page = h.store.scan(&id, &scan).await.unwrap();
        let entries = h.store.entries(&id, &paths, At::Newest).await.unwrap();
        let seen = [page.versions[0].clone(), page.versions[1].clone()];
        let found = [entries.versions[0].clone().unwrap(), entries.versions[1].clone().unwrap()];
        for (head, pair) in [(page.head, seen), (entries.head, found)] {
            for version in pair {
                assert_eq!(version.mark, head.mark);
                assert_eq!(version.body.content.parse(), Ok(head.mark.revision.0));
            }
        }
        let log = h.log(&id, 0).await;
        assert_eq!(log.versions.last().map(|v| v.mark), Some(log.head.mark));
    }
    writer.await.unwrap();
}
