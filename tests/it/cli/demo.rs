//! The demo, as a newcomer runs it.

use super::{complaint, object, printed};
use crate::process::swarmem;

#[test]
fn the_demo_proves_itself_on_a_folder_of_texts() {
    let directory = tempfile::tempdir().unwrap();
    for index in 0..4 {
        let text =
            format!("Chapter {index}.\n\nA first paragraph of some length, {index}.\n\nAnd a second one.\n");
        std::fs::write(directory.path().join(format!("{index}.md")), text).unwrap();
    }
    let kept = directory.path().join("kept");
    let mut demo = swarmem();
    demo.args(["demo", "--json", "--keep"]).arg(&kept).arg(directory.path());
    let report = object(&demo.output().unwrap());
    assert_eq!((&report["orders_equal"], &report["gap_free"]), (&true.into(), &true.into()), "{report}");
    assert_eq!((&report["files"], &report["agents"]), (&4.into(), &8.into()), "{report}");
    let writes = report["writes"].as_u64().unwrap();
    let watchers = report["events_per_watcher"].as_object().unwrap();
    assert_eq!((watchers.len() as u64, watchers["orchestrator"].as_u64()), (9, Some(writes)), "{report}");
    for measured in ["put_p50_us", "put_p99_us", "put_to_watch_p50_us", "put_to_watch_p99_us"] {
        assert!(report[measured].as_u64().unwrap() > 0, "{measured}: {report}");
    }
    assert!(kept.join("swarmem.db").exists());
}

#[test]
fn the_demo_has_texts_of_its_own() {
    let table = printed(&swarmem().arg("demo").output().unwrap());
    assert!(table.contains("yes") && !table.contains("NO "), "{table}");
}

#[test]
fn the_demo_says_what_it_cannot_read() {
    let line = complaint(&swarmem().args(["demo", "no/such/folder"]).output().unwrap(), 7);
    assert!(line.contains("no/such/folder"), "{line}");
}
