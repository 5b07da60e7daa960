//! Which measurements a command stands for, one after the other. Knows nothing of how they are printed.

use super::{Freshness, GetLoad, PutLoad, Report, Via};
use crate::{
    bench::{
        closed,
        get::Get,
        material::{self, Keys, share},
        meter::Meter,
        put::{self, Pipeline, Put},
        row::Row,
    },
    cli::Error,
    wire::v1::{self, consistency::Level},
};

pub(super) async fn put(load: &PutLoad, report: &mut Report<'_>) -> Result<(), Error> {
    let content = material::content(load.common.content_bytes);
    let clients = report.target.clients(load.common.connections).await?;
    if let Some(distinct) = load.keys {
        put::fill(&clients[0], distinct, &content).await?;
    }
    let keys = load.keys.map_or_else(Keys::fresh, Keys::among);
    for &via in &load.via {
        for &in_flight in &load.in_flight {
            let connections = clients.len().min(in_flight);
            let writer = |index: usize| Put {
                client: clients[index % connections].clone(),
                keys: keys.clone(),
                content: content.clone(),
            };
            let (window, meter) = (load.common.window(), Meter::of(report.target.process));
            let (figure, measured) = match via {
                Via::Unary => {
                    let writers = (0..in_flight).map(writer).collect();
                    ("put_unary", closed::run(writers, window, &meter).await?)
                }
                Via::Write => {
                    let depth = |index: usize| share(in_flight, connections, index);
                    let streams = (0..connections).map(|index| Pipeline::new(writer(index), depth(index)));
                    ("put_write", closed::run(streams.collect(), window, &meter).await?)
                }
            };
            report.add([Row {
                in_flight: Some(in_flight),
                connections: Some(connections),
                content_bytes: Some(content.len()),
                ..Row::of(figure, &measured, meter.server)
            }])?;
        }
    }
    Ok(())
}

pub(super) async fn get(load: &GetLoad, report: &mut Report<'_>) -> Result<(), Error> {
    let content = material::content(load.common.content_bytes);
    let clients = report.target.clients(load.common.connections).await?;
    put::fill(&clients[0], load.keys, &content).await?;
    let keys = Keys::among(load.keys);
    let (figure, consistency) = match load.consistency {
        Freshness::Strong => ("get_strong", None),
        Freshness::StaleOk => {
            let stale = v1::Consistency { level: Level::StaleOk.into(), ..v1::Consistency::default() };
            ("get_stale_ok", Some(stale))
        }
    };
    for &in_flight in &load.in_flight {
        let connections = clients.len().min(in_flight);
        let reader = |index: usize| Get {
            client: clients[index % connections].clone(),
            keys: keys.clone(),
            consistency: consistency.clone(),
        };
        let server = report.target.process;
        let measured =
            closed::run((0..in_flight).map(reader).collect(), load.common.window(), &Meter::of(server))
                .await?;
        report.add([Row {
            in_flight: Some(in_flight),
            connections: Some(connections),
            content_bytes: Some(content.len()),
            ..Row::of(figure, &measured, server)
        }])?;
    }
    Ok(())
}
