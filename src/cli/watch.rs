//! The command that follows what happens. Knows nothing of how events travel.

use std::{future, io, os::fd::AsFd as _};

use clap::Args;
use serde::Serialize;
use tokio::{
    io::Interest,
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    sync::watch::Receiver,
};

use super::{
    Error, FilterArgs, Format, Global, Position,
    error::{print_back, print_lost},
    output::{Output, excerpt},
    value,
    view::{EntryView, EventView, cause, clock_of, event_type},
};
use crate::{
    client::{self, Link, Watch, WatchOnce},
    wire::{
        WatchResponse, WatchResponseType,
        v1::{self, watch_request::Start},
    },
};

const EXCERPT_CHARS_MAX: usize = 60;

/// Follow what happens.
#[derive(Args, Clone, Debug, Default)]
pub struct WatchArgs {
    /// Which events: a put is judged by the new entry, a delete by the deleted one.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Where to start: now, a revision, a time such as 2026-11-02T10:00:00Z or 15m, or token:TOKEN
    #[arg(long, value_name = "POSITION", conflicts_with = "snapshot")]
    pub from: Option<Position>,
    /// Print what there is first, then what happens
    #[arg(long)]
    pub snapshot: bool,
    /// Print each entry as it was before, too
    #[arg(long)]
    pub before: bool,
    /// Fail when the connection breaks or the coordinator ends, instead of waiting to go on where it stopped
    #[arg(long)]
    pub no_reconnect: bool,
    /// Stop after so many events; the entries of a snapshot do not count
    #[arg(long, value_name = "N", value_parser = value::at_least_one::<u64>)]
    pub count: Option<u64>,
}

#[derive(Serialize)]
struct SnapshotView<'a> {
    r#type: &'static str,
    entry: EntryView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

#[derive(Serialize)]
struct MarkView<'a> {
    r#type: &'static str,
    revision: u64,
    token: &'a str,
}

pub(super) async fn watch(global: &Global, args: WatchArgs, output: &mut Output) -> Result<(), Error> {
    let start = match args.from {
        None if args.snapshot => Some(Start::Snapshot(true)),
        None | Some(Position::Now) => None,
        Some(Position::Revision(revision)) => Some(Start::Revision(revision)),
        Some(Position::Time(time)) => Some(Start::Time(time)),
        Some(Position::Token(token)) => Some(Start::Token(token)),
    };
    let request = v1::WatchRequest {
        filter: Some(args.filter.into_filter()),
        start,
        include_before: args.before,
        ..Default::default()
    };
    let mut left = args.count.unwrap_or(u64::MAX);
    let client = global.connect().await?;
    let opened = match args.no_reconnect {
        true => client.watch_once(request).await.map(|watch| Source::Once(Box::new(watch))),
        false => client.watch(request).await.map(|watch| Source::Lasting {
            link: watch.link(),
            is_lost: false,
            watch: Box::new(watch),
        }),
    };
    let mut source = opened.map_err(|error| Error::WatchEnded { error, token: None })?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut deserted = std::pin::pin!(deserted());
    let mut token = None;
    loop {
        let response = tokio::select! {
            response = source.next() => response,
            Some(()) = interrupt.recv() => return Err(Error::Interrupted { token }),
            () = &mut deserted => return Ok(()),
        };
        let response = match response {
            Ok(Some(response)) => response,
            Ok(None) => return Err(Error::Failed("the coordinator ended the watch".to_owned())),
            Err(error) => return Err(Error::WatchEnded { error, token }),
        };
        left -= print(&response, left, output)?;
        output.flush()?;
        if left == 0 {
            return Ok(());
        }
        token = Some(response.token);
    }
}

/// A watch that comes back, or one that does not.
enum Source {
    Lasting { watch: Box<Watch>, link: Receiver<Link>, is_lost: bool },
    Once(Box<WatchOnce>),
}

impl Source {
    /// The next response; says meanwhile, once each time, that the stream is lost, and that it is back. Safe to cancel.
    async fn next(&mut self) -> Result<Option<WatchResponse>, client::Error> {
        let (watch, link, is_lost) = match self {
            Self::Once(watch) => return watch.next().await,
            Self::Lasting { watch, link, is_lost } => (watch, link, is_lost),
        };
        // Both ends of the link belong to the watch, so it cannot break off.
        loop {
            tokio::select! {
                response = watch.next() => {
                    if std::mem::take(is_lost) && matches!(response, Ok(Some(_))) {
                        print_back();
                    }
                    return response;
                }
                Ok(()) = link.changed() => {}
            }
            match &*link.borrow_and_update() {
                Link::Down { cause } if !*is_lost => {
                    *is_lost = true;
                    print_lost(cause);
                }
                Link::Down { .. } | Link::Up => {}
            }
        }
    }
}

/// Waits until nobody reads the standard output any more, as after `| head`: the next event may be far away.
async fn deserted() {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    // A file cannot be waited for, and is never deserted. The descriptor stays blocking: it is only looked at.
    if let Ok(stdout) = stdout.and_then(pipe::Sender::from_owned_fd_unchecked)
        && let Ok(ready) = stdout.ready(Interest::ERROR).await
        && (ready.is_error() || ready.is_write_closed())
    {
        return;
    }
    future::pending().await
}

/// Prints a response, at most so many events of it, and returns how many events that were.
fn print(response: &WatchResponse, events_max: u64, output: &mut Output) -> Result<u64, Error> {
    let json = output.format() == Format::Json;
    match response.r#type() {
        WatchResponseType::Events => {
            let events = response.decode_events().map_err(client::Error::from)?;
            let shown = usize::try_from(events_max).unwrap_or(usize::MAX).min(events.len());
            for (index, event) in events[..shown].iter().enumerate() {
                // The token stands behind the whole response, so only behind its last event.
                let token = (index + 1 == events.len()).then_some(&*response.token);
                if json { output.json(&EventView::new(event, token))? } else { print_event(event, output)? }
            }
            return Ok(shown as u64);
        }
        WatchResponseType::Snapshot => {
            let entries = response.decode_entries().map_err(client::Error::from)?;
            for (index, entry) in entries.iter().enumerate() {
                let token = (index + 1 == entries.len()).then_some(&*response.token);
                if json {
                    let entry = EntryView::full(entry);
                    output.json(&SnapshotView { r#type: "snapshot", entry, token })?;
                } else {
                    print_held(entry, output)?;
                }
            }
        }
        WatchResponseType::SnapshotEnd if json => output.json(&mark("snapshot_end", response))?,
        WatchResponseType::SnapshotEnd => {
            output.faint(&format!("that was revision {}; now what happens", response.revision))?;
        }
        WatchResponseType::Bookmark if json => output.json(&mark("bookmark", response))?,
        WatchResponseType::Bookmark | WatchResponseType::Unspecified => {}
    }
    Ok(0)
}

fn mark<'a>(r#type: &'static str, response: &'a WatchResponse) -> MarkView<'a> {
    MarkView { r#type, revision: response.revision, token: &response.token }
}

fn print_event(event: &v1::Event, output: &mut Output) -> Result<(), Error> {
    let happened = match cause(event.cause) {
        cause if cause == "write" => event_type(event.r#type),
        cause => format!("{} ({cause})", event_type(event.r#type)),
    };
    let when = clock_of(event.time.as_ref());
    let place = format!("{}.{}", event.revision, event.ordinal);
    let entry = event.entry.clone().unwrap_or_default();
    let content = excerpt(&entry.content, EXCERPT_CHARS_MAX);
    let line = format!(
        "{when}  {place:>8}  {happened:<6}  {} {}  {}  {content}",
        entry.namespace, entry.key, entry.author
    );
    output.plain(&line)?;
    match &event.before {
        Some(before) => output.faint(&format!("    before: {}", excerpt(&before.content, EXCERPT_CHARS_MAX))),
        None => Ok(()),
    }
}

fn print_held(entry: &v1::Entry, output: &mut Output) -> Result<(), Error> {
    let content = excerpt(&entry.content, EXCERPT_CHARS_MAX);
    let line = format!(
        "{}  {:>8}  {:<6}  {} {}  {}  {content}",
        clock_of(entry.update_time.as_ref()),
        entry.revision,
        "holds",
        entry.namespace,
        entry.key,
        entry.author
    );
    output.plain(&line)
}
