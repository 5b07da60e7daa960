//! The table of faults in docs/reliability.md, written from what the courses left.

use std::{fs, path::Path};

use super::{catalogue::FAULTS, report::Row};

const PAGE: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- table of faults: `./tests/faults` -->\n";
const END: &str = "<!-- end of the table -->\n";

/// The page between its two marks.
fn parts() -> (String, String, String) {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a mark where the table begins");
    let (table, after) = rest.split_once(END).expect("the page has a mark where the table ends");
    (before.to_owned(), table.to_owned(), after.to_owned())
}

fn line(row: &Row) -> String {
    let Row { fault, seed, acknowledged, unknown, failed, .. } = row;
    // Whoever loses or repeats anything leaves no row.
    format!(
        "| {fault} | {seed} | {} | {acknowledged} | {unknown} | {failed} | 0 | 0 | {} | {} | {} |\n",
        row.lasted_ms, row.writes_stalled_ms, row.watches_stalled_ms, row.recovery_ms
    )
}

fn written(folder: &Path) -> String {
    let mut table = "| fault | seed | lasted | acknowledged | open | failed | lost | repeated | writes | watches | recovery |\n\
                     | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for fault in FAULTS {
        let file = folder.join(format!("{}.json", fault.name.replace(' ', "-")));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        table += &line(&serde_json::from_str(&text).unwrap());
    }
    table
}

/// Every fault has its figures on the page. With `SWARMEM_WRITE_DOCS` they are written there first.
#[test]
fn every_fault_stands_on_the_page() {
    if std::env::var_os("SWARMEM_WRITE_DOCS").is_some()
        && let Some(folder) = std::env::var_os("SWARMEM_FAULTS_TABLE")
    {
        let (before, _, after) = parts();
        let page = format!("{before}{BEGIN}{}{END}{after}", written(Path::new(&folder)));
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), page).unwrap();
    }
    let (_, table, _) = parts();
    let named: Vec<_> = table.lines().skip(2).map(|row| row.split('|').nth(1).unwrap().trim()).collect();
    let faults: Vec<_> = FAULTS.iter().map(|fault| fault.name).collect();
    assert_eq!(named, faults);
}
