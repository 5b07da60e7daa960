//! Measured figures as a table for people. Knows nothing of how they were measured.

use super::server::Target;
use crate::{
    bench::row::Row,
    cli::{
        Error,
        output::{Output, Rows},
    },
};

pub(super) fn print(rows: &[Row], target: &Target, output: &mut Output) -> Result<(), Error> {
    let mut fields = vec![
        ("machine", target.machine.clone()),
        ("coordinator", target.endpoint.to_string()),
        ("durability", target.durability.unwrap_or("as that coordinator is configured").to_owned()),
    ];
    if target.is_fleet() {
        let watched: Vec<_> = target.watched.iter().map(ToString::to_string).collect();
        fields.push(("watched on", watched.join(", ")));
    }
    output.fields(&fields)?;
    output.line("")?;
    let header = [
        "FIGURE",
        "IN FLIGHT",
        "WATCHERS",
        "CONNECTIONS",
        "RATE/S",
        "P50 US",
        "P99 US",
        "SERVER US/OP",
        "CLIENT US/OP",
        "RSS MIB",
    ];
    let right: Vec<_> = (1..header.len()).collect();
    let mut table = Rows::new(&header).align_right(&right);
    for row in rows {
        table.push(&[
            row.figure.clone(),
            count(row.in_flight),
            count(row.watchers),
            count(row.connections),
            if row.rate_per_s > 0.0 { format!("{:.0}", row.rate_per_s) } else { String::new() },
            number(row.p50_us),
            number(row.p99_us),
            number(row.server_cpu_us_per_op),
            number(row.client_cpu_us_per_op),
            number(row.rss_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20))),
        ]);
    }
    output.table(&table)
}

fn count(count: Option<usize>) -> String {
    count.map(|count| count.to_string()).unwrap_or_default()
}

/// Three digits are what a measurement is good for.
fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}
