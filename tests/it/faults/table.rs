//! The table of faults in docs/reliability.md, written from what the courses left.

use std::{fs, path::Path};

use super::{catalogue::FAULTS, clocks, failover, report::Row};

const PAGE: &str = "docs/reliability.md";
const TABLE: Part =
    Part { begin: "<!-- table of faults: `./tests/faults` -->\n", end: "<!-- end of the table -->\n" };

/// A part of the page that is written by a program, between two marks.
pub struct Part {
    pub begin: &'static str,
    pub end: &'static str,
}

impl Part {
    pub fn read(&self) -> String {
        self.split().1
    }

    pub fn write(&self, text: &str) {
        let (before, _, after) = self.split();
        let page = format!("{before}{}{text}{}{after}", self.begin, self.end);
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), page).unwrap();
    }

    /// The page between its two marks.
    fn split(&self) -> (String, String, String) {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
        let (before, rest) = page.split_once(self.begin).expect("the page has a mark where the part begins");
        let (text, after) = rest.split_once(self.end).expect("the page has a mark where the part ends");
        (before.to_owned(), text.to_owned(), after.to_owned())
    }
}

fn line(row: &Row) -> String {
    let Row { fault, seed, acknowledged, unknown, failed, lost, .. } = row;
    // Whoever repeats anything, or loses what may not be lost, leaves no row.
    format!(
        "| {fault} | {seed} | {} | {acknowledged} | {unknown} | {failed} | {lost} | 0 | {} | {} | {} |\n",
        row.lasted_ms, row.writes_stalled_ms, row.watches_stalled_ms, row.recovery_ms
    )
}

/// All that have a row.
fn names() -> Vec<&'static str> {
    FAULTS.iter().map(|fault| fault.name).chain([failover::NAME, clocks::NAME]).collect()
}

fn written(folder: &Path) -> String {
    let mut table = "| fault | seed | lasted | acknowledged | open | failed | lost | repeated | writes | watches | recovery |\n\
                     | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for name in names() {
        let file = folder.join(format!("{}.json", name.replace(' ', "-")));
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
        TABLE.write(&written(Path::new(&folder)));
    }
    let table = TABLE.read();
    let named: Vec<_> = table.lines().skip(2).map(|row| row.split('|').nth(1).unwrap().trim()).collect();
    assert_eq!(named, names());
}
