//! What is judged, and by which target. Knows nothing of how it was measured.

use std::{collections::BTreeMap, io::Write as _};

use serde::Serialize;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Ours over theirs, at least.
    RatioMin(f64),
    /// Ours over theirs, at most.
    RatioMax(f64),
    /// Ours, at most.
    Max(f64),
    /// Told for the record.
    None,
}

/// The figures, in the order in which they are told: name, unit, peer, target.
pub const FIGURES: &[(&str, &str, &str, Target)] = &[
    ("put_unary_1_p50", "us", "etcd", Target::RatioMax(1.0)),
    ("put_unary_64", "1/s", "etcd", Target::RatioMin(1.5)),
    ("put_unary_256", "1/s", "etcd", Target::RatioMin(1.5)),
    ("put_unary_64_server_cpu", "us", "etcd", Target::Max(40.0)),
    ("put_unary_256_server_cpu", "us", "etcd", Target::None),
    ("put_write", "1/s", "etcd", Target::RatioMin(4.0)),
    ("put_write", "1/s", "sqlite", Target::RatioMin(0.8)),
    ("put_write_server_cpu", "us", "sqlite", Target::None),
    ("put_write_rows_per_commit", "rows", "", Target::None),
    ("get_1_p50", "us", "tonic", Target::RatioMax(1.3)),
    ("watch_100_p50", "us", "etcd", Target::RatioMax(0.5)),
    ("watch_100_p99", "us", "etcd", Target::RatioMax(1.0)),
    ("watch_1000_p50", "us", "etcd", Target::None),
    ("watch_1000_p99", "us", "etcd", Target::RatioMax(0.5)),
    ("deliveries_1000", "1/s", "etcd", Target::RatioMin(1.7)),
    ("deliveries_1000", "1/s", "tonic", Target::RatioMin(0.8)),
    ("delivery_server_cpu", "us", "etcd", Target::Max(3.0)),
    ("delivery_server_cpu", "us", "tonic", Target::None),
    ("rss_idle", "bytes", "etcd", Target::Max(25.0 * 1024.0 * 1024.0)),
    ("rss_per_idle_watcher", "bytes", "etcd", Target::Max(16_000.0)),
    ("start_to_serving", "us", "etcd", Target::Max(100_000.0)),
    ("fdatasync_p50", "us", "", Target::None),
    ("fleet_put_unary_64", "1/s", "pgbench", Target::RatioMin(10.0)),
    ("fleet_put_write", "1/s", "own SQL", Target::RatioMin(0.7)),
    ("fleet_rows_per_commit", "rows", "", Target::None),
    ("fleet_put_64_swarms", "1/s", "1 swarm", Target::RatioMin(1.0)),
    ("fleet_put_2_replicas", "1/s", "1 repl.", Target::RatioMin(0.7)),
    ("fleet_watch_p50", "us", "sum", Target::RatioMax(1.5)),
    ("fleet_watch_p99", "us", "", Target::None),
    ("part_transaction_p50", "us", "", Target::None),
    ("part_publish_p50", "us", "", Target::None),
    ("part_tonic_unary_p50", "us", "", Target::None),
    ("part_tonic_delivery_p50", "us", "", Target::None),
    ("part_bare_commit_p50", "us", "", Target::None),
];

/// Ours and theirs, in one round.
type Round = (f64, Option<f64>);

/// What was measured, a value a round, by figure and peer. Ours stands beside each peer that it was measured with.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    values: BTreeMap<(&'static str, &'static str), Vec<Round>>,
}

impl Compared {
    /// One round's values. What could not be measured leaves no trace, and its figure none.
    pub fn add(&mut self, figure: &'static str, peer: &'static str, ours: Option<f64>, theirs: Option<f64>) {
        assert!(FIGURES.iter().any(|row| (row.0, row.2) == (figure, peer)), "no figure {figure} of {peer:?}");
        if let Some(ours) = ours {
            self.values.entry((figure, peer)).or_default().push((ours, theirs));
        }
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for &(figure, unit, peer, target) in FIGURES {
            let Some(values) = self.values.get(&(figure, peer)) else { continue };
            let ours = median(values.iter().map(|value| value.0));
            let theirs = median(values.iter().filter_map(|value| value.1));
            // Of each round by itself: both sides of a ratio saw the same disk and the same neighbours.
            let ratio = median(values.iter().filter_map(|&(ours, theirs)| Some(ours / theirs?)));
            rows.push(Row {
                figure,
                unit,
                peer,
                ours,
                theirs,
                ratio,
                target: told(target),
                met: met(target, ours, ratio),
            });
        }
        // Either of the two will do.
        let either = rows.iter().any(|row| row.figure == "put_write" && row.met == Some(true));
        for row in rows.iter_mut().filter(|row| row.figure == "put_write" && row.met.is_some()) {
            row.met = Some(either);
        }
        rows
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    figure: &'static str,
    unit: &'static str,
    peer: &'static str,
    ours: Option<f64>,
    theirs: Option<f64>,
    ratio: Option<f64>,
    target: String,
    met: Option<bool>,
}

fn told(target: Target) -> String {
    match target {
        Target::RatioMin(ratio) => format!("ratio >= {ratio}"),
        Target::RatioMax(ratio) => format!("ratio <= {ratio}"),
        Target::Max(value) => format!("ours <= {value}"),
        Target::None => String::new(),
    }
}

fn met(target: Target, ours: Option<f64>, ratio: Option<f64>) -> Option<bool> {
    match target {
        Target::RatioMin(least) => Some(ratio? >= least),
        Target::RatioMax(most) => Some(ratio? <= most),
        Target::Max(most) => Some(ours? <= most),
        Target::None => None,
    }
}

/// The middle of them; none if there are none.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Prints all figures.
///
/// # Errors
/// When the output cannot be written.
pub fn print(compared: &Compared, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let number = |value: Option<f64>| match value {
        None => String::new(),
        Some(value) if value.abs() < 100.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.0}"),
    };
    if !json {
        writeln!(
            out,
            "{:<32} {:<7} {:>12} {:>12} {:>7}  {:<18} MET",
            "FIGURE", "PEER", "OURS", "THEIRS", "RATIO", "TARGET"
        )?;
    }
    for row in compared.rows() {
        if json {
            writeln!(out, "{}", serde_json::to_string(&row)?)?;
            continue;
        }
        let met = row.met.map_or("", |met| if met { "yes" } else { "NO" });
        let figure = format!("{} ({})", row.figure, row.unit);
        let (ours, theirs, ratio) = (number(row.ours), number(row.theirs), number(row.ratio));
        let Row { peer, target, .. } = row;
        writeln!(out, "{figure:<32} {peer:<7} {ours:>12} {theirs:>12} {ratio:>7}  {target:<20} {met}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        let mut compared = Compared::default();
        for (ours, theirs) in [(100.0, 50.0), (10.0, 2.0), (30.0, 10.0)] {
            compared.add("put_unary_64", "etcd", Some(ours), Some(theirs));
        }
        compared.add("rss_idle", "etcd", Some(1.0), None);
        compared.add("put_write", "etcd", Some(3.0), Some(1.0));
        compared.add("put_write", "sqlite", Some(3.0), Some(3.0));
        compared.add("get_1_p50", "tonic", None, Some(1.0));
        let rows = compared.rows();
        let row = |figure: &str, peer: &str| {
            rows.iter().find(|row| row.figure == figure && row.peer == peer).unwrap()
        };
        let put = row("put_unary_64", "etcd");
        assert_eq!(
            (put.ours, put.theirs, put.ratio, put.met),
            (Some(30.0), Some(10.0), Some(3.0), Some(true))
        );
        assert_eq!((row("rss_idle", "etcd").ratio, row("rss_idle", "etcd").met), (None, Some(true)));
        // Three times etcd is not four, but as much as SQLite itself is enough.
        assert_eq!((row("put_write", "etcd").met, row("put_write", "sqlite").met), (Some(true), Some(true)));
        assert!(!rows.iter().any(|row| row.figure == "get_1_p50"));
    }

    #[test]
    fn targets_are_bounds_on_one_side() {
        assert_eq!(met(Target::RatioMin(1.5), None, Some(1.4)), Some(false));
        assert_eq!(met(Target::RatioMax(0.5), None, Some(0.4)), Some(true));
        assert_eq!(met(Target::Max(40.0), Some(41.0), Some(0.5)), Some(false));
        assert_eq!(met(Target::RatioMin(1.5), Some(1.0), None), None);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    }
}
