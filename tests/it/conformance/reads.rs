//! The log, entries, scans and histories.

use swarmem::{
    domain::{
        namespace::NamespaceRange,
        swarm::{Nonce, Revision, SwarmId},
    },
    store::{At, Error, LogCursor, PageLimit, Scan},
};

use super::{
    Harness,
    harness::ALL,
    requests::{delete, op, path, prefix, write},
};

fn rows(rows: usize) -> PageLimit {
    PageLimit { rows, bytes: usize::MAX }
}

/// Three revisions of one, three and two changes.
async fn three_revisions(h: &Harness) -> SwarmId {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "1", "v").await;
    h.done(&id, write((0..3).map(|n| op::put("shared/y", &format!("{n}"), "w")).collect())).await;
    h.done(&id, write(vec![op::delete("shared/x", "1"), op::put("shared/y", "2", "z")])).await;
    id
}

pub async fn the_log_comes_in_pages(h: &Harness) {
    let id = three_revisions(h).await;
    let all = h.log(&id, 0).await;
    assert_eq!((all.versions.len(), all.more), (6, false));
    for size in 1..=7 {
        let (mut found, mut cursor) = (Vec::new(), LogCursor::after(Revision::ZERO));
        loop {
            let page = h.store.log(&id, cursor, rows(size)).await.unwrap();
            assert!(page.versions.len() <= size);
            assert_eq!(page.head, all.head);
            let Some(last) = page.versions.last() else { break };
            cursor = LogCursor { revision: last.mark.revision, ordinal: Some(last.ordinal) };
            found.extend(page.versions);
            assert_eq!(page.more, found.len() < 6);
            if !page.more {
                break;
            }
        }
        assert_eq!(found, all.versions, "in pages of {size}");
    }
    assert_eq!(h.log(&id, 2).await.versions, all.versions[4..]);
    assert!(h.log(&id, 3).await.versions.is_empty());
    let future = h.store.log(&id, LogCursor::after(Revision(4)), ALL).await;
    assert!(matches!(future, Err(Error::Future { newest: Revision(3) })));
    let future = h.store.log(&id, LogCursor::after(Revision(u64::MAX)), ALL).await;
    assert!(matches!(future, Err(Error::Future { .. })));
}

pub async fn the_log_goes_on_inside_a_revision(h: &Harness) {
    let id = three_revisions(h).await;
    let cursor = LogCursor { revision: Revision(2), ordinal: Some(0) };
    let page = h.store.log(&id, cursor, rows(3)).await.unwrap();
    let places: Vec<_> = page.versions.iter().map(|v| (v.mark.revision.0, v.ordinal)).collect();
    assert_eq!((places, page.more), (vec![(2, 1), (2, 2), (3, 0)], true));
    let cursor = LogCursor { revision: Revision(3), ordinal: Some(1) };
    assert!(h.store.log(&id, cursor, ALL).await.unwrap().versions.is_empty());
}

pub async fn the_log_ends_pages_by_bytes(h: &Harness) {
    let id = h.create("a").await;
    for n in 0..4 {
        h.put(&id, "shared/x", &format!("{n}"), &"x".repeat(10_000)).await;
    }
    let weight = h.log(&id, 0).await.versions[0].weight();
    for (bytes, expected) in [(0, 1), (1, 1), (weight, 1), (weight + 1, 2), (3 * weight, 3), (9 * weight, 4)]
    {
        let limit = PageLimit { rows: 100, bytes };
        let page = h.store.log(&id, LogCursor::after(Revision::ZERO), limit).await.unwrap();
        assert_eq!((page.versions.len(), page.more), (expected, expected < 4), "{bytes} bytes");
        let history = h.store.history(&id, &path("shared/x", "0"), None, limit).await.unwrap();
        assert_eq!((history.versions.len(), history.more), (1, false));
        let range = NamespaceRange::all();
        let scan = Scan { range, after: None, at: At::Newest, limit, content: true };
        let page = h.store.scan(&id, &scan).await.unwrap();
        assert_eq!((page.versions.len(), page.resume.is_some()), (expected, expected < 4));
    }
}

pub async fn marks_name_revisions(h: &Harness) {
    let id = h.create("a").await;
    let creation = h.head(&id).await.mark;
    let mut marks = vec![creation];
    for n in 0..3 {
        marks.push(h.put(&id, "shared/x", &format!("{n}"), "v").await);
    }
    for mark in marks {
        assert_eq!(h.store.mark_at(&id, mark.revision).await.unwrap(), (h.head(&id).await, mark));
    }
    let future = h.store.mark_at(&id, Revision(4)).await;
    assert!(matches!(future, Err(Error::Future { newest: Revision(3) })));
}

pub async fn reads_at_a_revision_see_that_revision(h: &Harness) {
    let id = h.create("a").await;
    for content in ["1", "2", "3"] {
        h.put(&id, "shared/x", "k", content).await;
    }
    h.done(&id, delete("shared/x", "k")).await;
    h.put(&id, "shared/x", "other", "v").await;
    let expected = [None, Some("1"), Some("2"), Some("3"), None, None];
    for (revision, expected) in (0..).map(Revision).zip(expected) {
        let at = At::Revision(revision);
        let found = h.get_at(&id, "shared/x", "k", at).await.unwrap();
        assert_eq!(found.as_ref().map(|v| &*v.body.content), expected, "at {revision}");
        let scan = h.scan(&id, &NamespaceRange::all(), at, 1).await;
        assert_eq!(scan.iter().find(|v| v.path.key.as_str() == "k"), found.as_ref());
    }
    let paths = [path("shared/x", "other"), path("shared/x", "k"), path("shared/x", "other")];
    let entries = h.store.entries(&id, &paths, At::Newest).await.unwrap();
    assert_eq!(entries.head, h.head(&id).await);
    let found: Vec<_> = entries.versions.iter().map(Option::is_some).collect();
    assert_eq!(found, [true, false, true]);
    let many: Vec<_> = (0..1_100).map(|n| paths[n % 2].clone()).collect();
    let entries = h.store.entries(&id, &many, At::Newest).await.unwrap();
    assert!(entries.versions.iter().enumerate().all(|(n, found)| found.is_some() == (n % 2 == 0)));
    for at in [Revision(6), Revision(u64::MAX)] {
        let future = h.get_at(&id, "shared/x", "k", At::Revision(at)).await;
        assert!(matches!(future, Err(Error::Future { newest: Revision(5) })));
    }
}

pub async fn scans_come_in_pages(h: &Harness) {
    let id = h.create("a").await;
    for n in 0..7 {
        h.put(&id, &format!("shared/{}", n % 3), &format!("k{n}"), "v").await;
        h.put(&id, &format!("shared/{}", n % 3), &format!("k{n}"), "again").await;
    }
    let all = h.scan(&id, &NamespaceRange::all(), At::Newest, 100).await;
    let names: Vec<_> = all.iter().map(|v| v.path.to_string()).collect();
    let expected =
        ["0/k0", "0/k3", "0/k6", "1/k1", "1/k4", "2/k2", "2/k5"].map(|name| format!("shared/{name}"));
    assert_eq!(names, expected);
    for rows in 1..9 {
        assert_eq!(h.scan(&id, &NamespaceRange::all(), At::Newest, rows).await, all, "in pages of {rows}");
    }
}

pub async fn scans_step_over_tombstones(h: &Harness) {
    let id = h.create("a").await;
    let puts = (0..600).map(|n| op::put("shared/x", &format!("k{n:03}"), "v")).collect();
    h.done(&id, write(puts)).await;
    let deletes = (1..599).map(|n| op::delete("shared/x", &format!("k{n:03}"))).collect();
    h.done(&id, write(deletes)).await;
    for rows in [1, 2, 3] {
        let left = h.scan(&id, &NamespaceRange::all(), At::Newest, rows).await;
        let keys: Vec<_> = left.iter().map(|v| v.path.key.as_str()).collect();
        assert_eq!(keys, ["k000", "k599"], "in pages of {rows}");
    }
    assert_eq!(h.scan(&id, &NamespaceRange::all(), At::Revision(Revision(1)), 50).await.len(), 600);
}

pub async fn scans_follow_ranges_bytewise(h: &Harness) {
    let id = h.create("a").await;
    let namespaces = [
        "agents/a",
        "shared/A",
        "shared/a",
        "shared/a-b",
        "shared/a/b",
        "shared/a0",
        "shared/ab",
        "shared/ä",
    ];
    for namespace in namespaces {
        h.put(&id, namespace, "k", "v").await;
    }
    let found = async |text: &str| {
        let mut found = Vec::new();
        for range in prefix(text).ranges() {
            let page = h.scan(&id, &range, At::Newest, 1).await;
            found.extend(page.iter().map(|v| v.path.namespace.as_str().to_owned()));
        }
        found
    };
    assert_eq!(found("shared/a").await, ["shared/a", "shared/a/b"]);
    assert_eq!(found("shared").await, namespaces[1..]);
    assert_eq!(found("agents").await, ["agents/a"]);
    assert!(found("shared/nothing").await.is_empty());
    let range = NamespaceRange { start: "shared/a".into(), end: Some("shared/ab".into()) };
    let after = Some(path("agents/a", "k"));
    let scan = Scan { range, after, at: At::Newest, limit: ALL, content: true };
    let page = h.store.scan(&id, &scan).await.unwrap();
    assert_eq!((page.versions.len(), page.resume), (4, None));
}

pub async fn scans_leave_contents_out_on_request(h: &Harness) {
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", &"x".repeat(50_000)).await;
    h.put(&id, "shared/x", "l", &"x".repeat(50_000)).await;
    let limit = PageLimit { rows: 9, bytes: 2_000 };
    let scan = Scan { range: NamespaceRange::all(), after: None, at: At::Newest, limit, content: false };
    let page = h.store.scan(&id, &scan).await.unwrap();
    assert_eq!((page.versions.len(), page.resume), (2, None));
    for version in &page.versions {
        assert_eq!((&*version.body.content, version.content_bytes), ("", 50_000));
    }
}

pub async fn histories_are_newest_first(h: &Harness) {
    let id = h.create("a").await;
    for content in ["1", "2"] {
        h.put(&id, "shared/x", "k", content).await;
        h.put(&id, "shared/x", "kk", "other").await;
    }
    h.done(&id, delete("shared/x", "k")).await;
    h.put(&id, "shared/x", "k", "3").await;
    let k = path("shared/x", "k");
    let all = h.store.history(&id, &k, None, ALL).await.unwrap();
    let revisions: Vec<_> = all.versions.iter().map(|v| v.mark.revision.0).collect();
    assert_eq!((revisions, all.more), (vec![6, 5, 3, 1], false));
    assert_eq!(&*all.versions[3].body.content, "1");
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = h.store.history(&id, &k, before, rows(1)).await.unwrap();
        before = page.versions.last().map(|v| v.mark.revision);
        found.extend(page.versions);
        if !page.more {
            break;
        }
    }
    assert_eq!(found, all.versions);
    let page = h.store.history(&id, &k, Some(Revision(5)), rows(9)).await.unwrap();
    assert_eq!(page.versions, all.versions[2..]);
    let page = h.store.history(&id, &k, Some(Revision(u64::MAX)), rows(9)).await.unwrap();
    assert_eq!(page.versions, all.versions);
    assert!(h.store.history(&id, &path("shared/x", "no"), None, ALL).await.unwrap().versions.is_empty());
}

pub async fn a_commit_is_found_by_its_nonce(h: &Harness) {
    let id = h.create("a").await;
    let first = h.put(&id, "shared/x", "k", "1").await;
    let second = h.put(&id, "shared/x", "k", "2").await;
    let found = async |nonce, after| h.store.is_committed(&id, nonce, Revision(after)).await.unwrap();
    assert!(found(first.nonce, 0).await);
    assert!(!found(first.nonce, 1).await);
    assert!(found(second.nonce, 1).await);
    assert!(!found(Nonce([7; 16]), 0).await);
}
