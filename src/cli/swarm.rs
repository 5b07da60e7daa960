//! The commands about swarms, and about the coordinator's health. Knows nothing of what swarms hold.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::{
    Error, Format, Global, confirm,
    output::{Output, Rows},
    value,
    view::{SwarmView, seconds_of},
};
use crate::{
    client::{Code, ServingStatus},
    wire::v1,
};

const PAGE_SIZE: u32 = 1_000;

/// The services whose health is asked for; the empty name is the coordinator as a whole.
const SERVICES: [&str; 5] = [
    "",
    "swarmem.v1.MemoryService",
    "swarmem.v1.WatchService",
    "swarmem.v1.RecallService",
    "swarmem.v1.SwarmService",
];

/// Create, describe, list or delete swarms.
#[derive(Clone, Debug, Subcommand)]
pub enum SwarmCommand {
    /// Create a swarm
    Create {
        /// Its name; 1 to 63 of a-z 0-9 - _
        name: String,
        /// Keep its log at least so long; by default 24h
        #[arg(long, value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
        keep_for: Option<Duration>,
        /// Keep at least so many revisions of its log; by default 1000
        #[arg(long, value_name = "N")]
        keep_revisions: Option<u64>,
    },
    /// Describe a swarm; by default the one of --swarm
    Get {
        /// Its name
        name: Option<String>,
    },
    /// List the swarms
    List,
    /// Delete a swarm with all it holds; asks first on a terminal, and needs --yes elsewhere
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Serialize)]
struct DeletedView<'a> {
    deleted: &'a str,
}

#[derive(Serialize)]
struct HealthView {
    service: &'static str,
    status: &'static str,
}

pub(super) async fn run(global: &Global, command: SwarmCommand, output: &mut Output) -> Result<(), Error> {
    let client = global.connect().await?;
    match command {
        SwarmCommand::Create { name, keep_for, keep_revisions } => {
            let age = keep_for.map(crate::wire::Duration::try_from).transpose();
            let age = age.map_err(|_| Error::Input("--keep-for is too long".to_owned()))?;
            let retention = v1::Retention { age, revisions: keep_revisions };
            let retention = Some(retention).filter(|retention| *retention != v1::Retention::default());
            let created = client.in_swarm(name).create_swarm(retention).await?;
            print_swarm(&created.swarm.unwrap_or_default(), output)
        }
        SwarmCommand::Get { name } => {
            let client = name.map_or(client.clone(), |name| client.in_swarm(name));
            print_swarm(&client.get_swarm().await?.swarm.unwrap_or_default(), output)
        }
        SwarmCommand::List => list(&client, output).await,
        SwarmCommand::Delete { name, yes } => {
            if !yes {
                confirm::refuse_unasked("deleting a swarm")?;
                confirm::ask(&format!("Delete the swarm {name} with all it holds?"))?;
            }
            client.in_swarm(&name).delete_swarm().await?;
            match output.format() {
                Format::Json => output.json(&DeletedView { deleted: &name }),
                Format::Human => output.plain(&format!("deleted the swarm {name}")),
            }
        }
    }
}

async fn list(client: &crate::client::Client, output: &mut Output) -> Result<(), Error> {
    let mut request = v1::ListSwarmsRequest { page_size: PAGE_SIZE, ..Default::default() };
    let mut first = true;
    loop {
        let page = client.list_swarms(request.clone()).await?;
        if output.format() == Format::Json {
            page.swarms.iter().try_for_each(|swarm| output.json(&SwarmView::new(swarm)))?;
        } else if first && page.swarms.is_empty() {
            output.faint("no swarms")?;
        } else {
            let header = ["SWARM", "REVISION", "FLOOR", "ENTRIES", "BYTES", "CREATED"];
            let mut rows = if first { Rows::new(&header) } else { Rows::without_header() };
            for swarm in &page.swarms {
                rows.push(&[
                    swarm.swarm.clone(),
                    swarm.revision.to_string(),
                    swarm.floor.to_string(),
                    known(swarm.entries),
                    known(swarm.content_bytes),
                    seconds_of(swarm.create_time.as_ref()),
                ]);
            }
            output.table(&rows.align_right(&[1, 2, 3, 4]))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
        first = false;
    }
}

/// A count, unless it is not for the caller to know.
fn known(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn print_swarm(swarm: &v1::Swarm, output: &mut Output) -> Result<(), Error> {
    if output.format() == Format::Json {
        return output.json(&SwarmView::new(swarm));
    }
    let retention = swarm.retention.unwrap_or_default();
    let age = retention.age.and_then(|age| Duration::try_from(age).ok());
    output.fields(&[
        ("swarm", swarm.swarm.clone()),
        ("incarnation", swarm.incarnation.clone()),
        ("revision", swarm.revision.to_string()),
        ("floor", swarm.floor.to_string()),
        ("entries", known(swarm.entries)),
        ("content bytes", known(swarm.content_bytes)),
        ("keeps for", age.map_or_else(|| "-".to_owned(), |age| humantime::format_duration(age).to_string())),
        ("keeps revisions", retention.revisions.map_or_else(|| "-".to_owned(), |count| count.to_string())),
        ("created", seconds_of(swarm.create_time.as_ref())),
    ])
}

pub(super) async fn health(global: &Global, output: &mut Output) -> Result<(), Error> {
    let client = global.connect().await?;
    let mut rows = Rows::new(&["SERVICE", "STATUS"]);
    let mut down = Vec::new();
    for service in SERVICES {
        let status = match client.check_health(service).await {
            Ok(ServingStatus::Serving) => "SERVING",
            Ok(ServingStatus::NotServing) => "NOT_SERVING",
            Ok(ServingStatus::Unknown) => "UNKNOWN",
            Ok(ServingStatus::ServiceUnknown) => "SERVICE_UNKNOWN",
            Err(error) if error.code() == Code::NotFound => "SERVICE_UNKNOWN",
            Err(error) => return Err(Error::from(error)),
        };
        let shown = if service.is_empty() { "the coordinator" } else { service };
        if status != "SERVING" {
            down.push(shown);
        }
        match output.format() {
            Format::Json => output.json(&HealthView { service, status })?,
            Format::Human => rows.push(&[shown.to_owned(), status.to_owned()]),
        }
    }
    if output.format() == Format::Human {
        output.table(&rows)?;
    }
    output.flush()?;
    if down.is_empty() {
        Ok(())
    } else {
        Err(Error::NotServing(format!("not serving: {}; see the coordinator's log", down.join(", "))))
    }
}
