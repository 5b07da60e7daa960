//! What the demo found out, as a table for people and as one object for machines. Knows nothing of how it was
//! found out.

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use serde::Serialize;

use crate::cli::{
    Error, Format,
    output::{Output, Rows},
};

/// What the demo found out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The swarm that shared its memory.
    pub swarm: String,
    /// How many agents wrote.
    pub agents: usize,
    /// How many files were read.
    pub files: usize,
    /// How many files were skipped: no text, too large, or beyond the demo's bounds.
    pub files_skipped: usize,
    /// Whether there was more text than the demo reads.
    pub text_cut: bool,
    /// How much text was read, in bytes.
    pub text_bytes: usize,
    /// How many paragraphs it was.
    pub paragraphs: usize,
    /// How many writes were acknowledged.
    pub writes: usize,
    /// How long writing took, in seconds.
    pub seconds: f64,
    /// How many watchers there were.
    pub watchers: usize,
    /// How many events each received.
    pub events_per_watcher: BTreeMap<String, usize>,
    /// How many of them were of shared memory.
    pub shared_events_per_watcher: BTreeMap<String, usize>,
    /// BLAKE3 over the shared events in the order each received them.
    pub order_per_watcher: BTreeMap<String, String>,
    /// Whether all watchers saw the shared events in the same order.
    pub orders_equal: bool,
    /// Whether each acknowledged write reached each watcher that may see it exactly once and in order.
    pub gap_free: bool,
    /// What was wrong, if anything was.
    pub faults: Vec<String>,
    /// The median time of a put, in microseconds.
    pub put_p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub put_p99_us: u64,
    /// The median time from the beginning of a put to its arrival at a watcher, in microseconds.
    pub put_to_watch_p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub put_to_watch_p99_us: u64,
    /// How many entries the swarm holds.
    pub entries: u64,
    /// By how much the database grew, its journal included, in bytes.
    pub database_bytes: u64,
    /// The same for each entry.
    pub database_bytes_per_entry: f64,
    /// Commands that show more.
    pub further: Vec<String>,
    #[serde(skip)]
    pub(super) database_bytes_before: u64,
}

impl Report {
    /// Whether everything was proved.
    pub fn proved(&self) -> bool {
        self.orders_equal && self.gap_free
    }

    /// Measures the database again: closing it folds its journal into it.
    pub fn measure(&mut self, database: &Path) {
        self.database_bytes = size_of(database).saturating_sub(self.database_bytes_before);
        self.database_bytes_per_entry = self.database_bytes as f64 / self.entries.max(1) as f64;
    }

    /// Prints the report on the standard output.
    ///
    /// # Errors
    /// When the output cannot be written, and, after printing, [`Error::Failed`] when the proof failed.
    pub fn print(&self, format: Format) -> Result<(), Error> {
        let mut output = Output::stdout(format);
        match format {
            Format::Json => output.json(self)?,
            Format::Human => self.print_for_people(&mut output)?,
        }
        output.flush()?;
        match self.faults.first() {
            None if self.proved() => Ok(()),
            None => Err(Error::Failed("the watchers saw different orders".to_owned())),
            Some(fault) => Err(Error::Failed(format!("the proof failed: {fault}"))),
        }
    }

    fn print_for_people(&self, output: &mut Output) -> Result<(), Error> {
        let ms = |us: u64| format!("{:.2} ms", us as f64 / 1_000.0);
        let pair = |p50, p99| format!("p50 {}, p99 {}", ms(p50), ms(p99));
        let rate = self.writes as f64 / self.seconds.max(f64::MIN_POSITIVE);
        output.fields(&[
            ("read", self.what_was_read()),
            ("writes", format!("{} acknowledged in {:.2} s ({rate:.0}/s)", self.writes, self.seconds)),
            ("put", pair(self.put_p50_us, self.put_p99_us)),
            ("put to watch", pair(self.put_to_watch_p50_us, self.put_to_watch_p99_us)),
            (
                "database",
                format!("{} entries, {:.0} bytes each on disk", self.entries, self.database_bytes_per_entry),
            ),
        ])?;
        output.line("")?;
        let mut rows = Rows::new(&["WATCHER", "EVENTS", "SHARED", "ORDER OF SHARED EVENTS"]);
        for (watcher, events) in &self.events_per_watcher {
            let shared = self.shared_events_per_watcher.get(watcher).copied().unwrap_or_default();
            let order = self.order_per_watcher.get(watcher).map_or("", String::as_str);
            rows.push(&[
                watcher.clone(),
                events.to_string(),
                shared.to_string(),
                order.chars().take(16).collect(),
            ]);
        }
        output.table(&rows.align_right(&[1, 2]))?;
        output.line("")?;
        output.verdict(self.orders_equal, "all watchers saw the shared events in the same order")?;
        output.verdict(self.gap_free, "every write reached everyone who may see it once, with no gap")?;
        for fault in &self.faults {
            output.plain(&format!("  {fault}"))?;
        }
        output.line("")?;
        output.heading("To look further")?;
        self.further.iter().try_for_each(|command| output.plain(&format!("  {command}")))
    }

    fn what_was_read(&self) -> String {
        let mut read = format!(
            "{} paragraphs of {} files, {} KiB, by {} agents",
            self.paragraphs,
            self.files,
            self.text_bytes.div_ceil(1_024),
            self.agents
        );
        if self.files_skipped > 0 {
            read.push_str(&format!("; {} files skipped", self.files_skipped));
        }
        if self.text_cut {
            read.push_str("; there was more text than the demo reads");
        }
        read
    }
}

/// The database and the journal beside it, in bytes.
pub(super) fn size_of(database: &Path) -> u64 {
    let mut journal = OsString::from(database);
    journal.push("-wal");
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    size(database) + size(Path::new(&journal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_the_names_that_scripts_read() {
        let report = Report {
            events_per_watcher: BTreeMap::from([("coder".to_owned(), 3)]),
            orders_equal: true,
            ..Report::default()
        };
        let object: serde_json::Value =
            serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        for name in [
            "writes",
            "watchers",
            "orders_equal",
            "put_p50_us",
            "put_p99_us",
            "put_to_watch_p50_us",
            "put_to_watch_p99_us",
        ] {
            assert!(object.get(name).is_some(), "{name}");
        }
        assert_eq!(object["events_per_watcher"]["coder"], 3);
        assert!(!report.proved());
    }

    #[test]
    fn the_journal_counts_as_database() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("swarmem.db");
        fs::write(&database, [0; 100]).unwrap();
        fs::write(directory.path().join("swarmem.db-wal"), [0; 50]).unwrap();
        let mut report = Report { entries: 2, database_bytes_before: 30, ..Report::default() };
        report.measure(&database);
        assert_eq!((report.database_bytes, report.database_bytes_per_entry), (120, 60.0));
    }
}
