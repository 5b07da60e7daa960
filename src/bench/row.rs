//! One measured figure, as an object for machines. Knows nothing of how it was measured or is printed.

use serde::Serialize;

use super::{
    closed::Measured,
    latency::Latency,
    meter::{Spent, per_s, us_each},
    process::Process,
};

/// One measured figure. What cannot be known is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// What was measured, such as `put_unary`.
    pub figure: String,
    /// Operations in flight at any time.
    pub in_flight: Option<usize>,
    /// Open watches.
    pub watchers: Option<usize>,
    /// Connections they were spread over.
    pub connections: Option<usize>,
    /// Bytes of an entry's content.
    pub content_bytes: Option<usize>,
    /// Operations (or deliveries) within the window.
    pub operations: u64,
    /// All operations, in the warm-up and after the window too.
    pub operations_total: u64,
    /// How long the window was.
    pub seconds: f64,
    /// Operations (or deliveries) a second.
    pub rate_per_s: f64,
    /// The median latency.
    pub p50_us: Option<f64>,
    /// The 99th percentile of the latency.
    pub p99_us: Option<f64>,
    /// Processor time of the server for each operation (or delivery).
    pub server_cpu_us_per_op: Option<f64>,
    /// Processor time of the client for each operation (or delivery).
    pub client_cpu_us_per_op: Option<f64>,
    /// Of watchers: writes a second behind the deliveries.
    pub writes_per_s: Option<f64>,
    /// Of watchers: events that came together in one response, on average.
    pub events_per_response: Option<f64>,
    /// Memory of the server at the end.
    pub rss_bytes: Option<u64>,
    /// What the machine is.
    pub machine: String,
    /// How the server makes writes durable; null if it was not started here.
    pub durability: Option<String>,
}

impl Row {
    /// The row of a closed loop.
    #[must_use]
    pub fn of(figure: &str, measured: &Measured, server: Option<Process>) -> Self {
        let Measured { operations, operations_total, latency, spent } = measured;
        Self { operations_total: *operations_total, ..Self::each(figure, *operations, spent, server) }
            .with_latency(latency)
    }

    /// The row of so many of something, and what they cost.
    #[must_use]
    pub fn each(figure: &str, count: u64, spent: &Spent, server: Option<Process>) -> Self {
        Self {
            figure: figure.to_owned(),
            operations: count,
            operations_total: count,
            seconds: spent.elapsed.as_secs_f64(),
            rate_per_s: per_s(count, spent.elapsed),
            server_cpu_us_per_op: us_each(spent.server, count),
            client_cpu_us_per_op: us_each(spent.client, count),
            rss_bytes: server.and_then(Process::rss_bytes),
            ..Self::default()
        }
    }

    /// The same, with what the latencies came to.
    #[must_use]
    pub fn with_latency(self, latency: &Latency) -> Self {
        Self { p50_us: latency.quantile_us(0.5), p99_us: latency.quantile_us(0.99), ..self }
    }

    /// Another row about the same watchers.
    #[must_use]
    pub fn about(&self, row: Self) -> Self {
        Self {
            watchers: self.watchers,
            connections: self.connections,
            content_bytes: self.content_bytes,
            ..row
        }
    }
}
