//! The commands that read: get, list, namespaces and history. Knows nothing of how entries are found.

use clap::Args;
use serde::Serialize;

use super::{
    Error, FilterArgs, Format, Global,
    output::{Output, Rows, excerpt},
    value,
    view::{EntryView, EventView, cause, event_type, kind, seconds_of},
};
use crate::wire::v1;

/// As many as a coordinator puts on a page.
const PAGE_SIZE: u32 = 1_000;
/// How much of a content fits on a line beside the rest.
const EXCERPT_CHARS_MAX: usize = 60;

/// Print an entry.
#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    /// The entry's namespace
    pub namespace: String,
    /// The entry's key
    pub key: String,
    /// As it was at this revision
    #[arg(long, value_name = "REVISION")]
    pub at: Option<u64>,
    /// Print the content and nothing else
    #[arg(long, conflicts_with = "json")]
    pub content: bool,
}

/// List entries.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Which entries.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Leave content and attributes out
    #[arg(long, conflicts_with = "count")]
    pub keys: bool,
    /// Print only how many there are
    #[arg(long)]
    pub count: bool,
    /// Stop after so many; by default print all
    #[arg(long, value_name = "N", value_parser = value::at_least_one::<u64>)]
    pub limit: Option<u64>,
}

/// List the namespaces that hold entries.
#[derive(Args, Clone, Debug)]
pub struct NamespacesArgs {
    /// Only this one and below it, by whole segments
    #[arg(default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Only those that end with these segments
    #[arg(long, default_value = "", hide_default_value = true, value_name = "SEGMENTS")]
    pub suffix: String,
    /// Cut each to so many segments, and list each once
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub depth: u32,
}

/// List the kept versions of an entry, newest first.
#[derive(Args, Clone, Debug)]
pub struct HistoryArgs {
    /// The entry's namespace
    pub namespace: String,
    /// The entry's key
    pub key: String,
    /// Stop after so many; by default print all
    #[arg(long, value_name = "N", value_parser = value::at_least_one::<u64>)]
    pub limit: Option<u64>,
}

#[derive(Serialize)]
struct CountView {
    count: u64,
    revision: u64,
}

#[derive(Serialize)]
struct NamespaceView<'a> {
    namespace: &'a str,
    entries: u64,
}

pub(super) async fn get(global: &Global, args: GetArgs, output: &mut Output) -> Result<(), Error> {
    let consistency = args.at.map(|revision| v1::Consistency { revision, ..Default::default() });
    let name = v1::EntryName { namespace: args.namespace, key: args.key };
    let mut entry = global.connect().await?.get(name, consistency).await?.entry.unwrap_or_default();
    if output.format() == Format::Json {
        return output.json(&EntryView::full(&entry));
    }
    if !args.content {
        output.fields(&described(&entry))?;
        output.line("")?;
        if !entry.content.ends_with('\n') {
            entry.content.push('\n');
        }
    }
    output.text(&entry.content)
}

fn described(entry: &v1::Entry) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("namespace", entry.namespace.clone()),
        ("key", entry.key.clone()),
        ("kind", kind(entry.kind)),
        ("author", entry.author.clone()),
        ("revision", format!("{} (version {})", entry.revision, entry.version)),
        ("etag", entry.etag.clone()),
        ("created", seconds_of(entry.create_time.as_ref())),
        ("updated", seconds_of(entry.update_time.as_ref())),
        ("importance", entry.importance.to_string()),
    ];
    let told = [
        ("expires", entry.expire_time.map(|time| seconds_of(Some(&time)))),
        ("source", Some(entry.source.clone())),
        ("tags", Some(entry.tags.join(", "))),
        ("attributes", Some(entry.attributes.clone()).filter(|text| text != "{}")),
    ];
    let told = told.into_iter().filter_map(|(name, value)| Some((name, value?)));
    fields.extend(told.filter(|(_, value)| !value.is_empty()));
    fields
}

pub(super) async fn list(global: &Global, args: ListArgs, output: &mut Output) -> Result<(), Error> {
    let client = global.connect().await?;
    let view = match (args.keys, args.count) {
        (_, true) => v1::View::Count,
        (true, false) => v1::View::Keys,
        (false, false) => v1::View::Full,
    };
    let mut request = v1::ListRequest {
        filter: Some(args.filter.into_filter()),
        page_size: PAGE_SIZE,
        view: view.into(),
        ..Default::default()
    };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut first = true;
    loop {
        request.page_size = page_size(left);
        let mut page = client.list(request.clone()).await?;
        if view == v1::View::Count {
            let v1::ListResponse { count, revision, .. } = page;
            return match output.format() {
                Format::Json => output.json(&CountView { count, revision }),
                Format::Human => output.line(&count.to_string()),
            };
        }
        page.entries.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        print_entries(&page.entries, view, first, output)?;
        left -= page.entries.len() as u64;
        if page.next_page_token.is_empty() || left == 0 {
            return Ok(());
        }
        request.page_token = page.next_page_token;
        first = false;
    }
}

fn page_size(left: u64) -> u32 {
    u32::try_from(left).unwrap_or(PAGE_SIZE).min(PAGE_SIZE)
}

/// Prints a page. Columns are as wide as the page needs; the header stands only over the first.
fn print_entries(
    entries: &[v1::Entry],
    view: v1::View,
    first: bool,
    output: &mut Output,
) -> Result<(), Error> {
    if output.format() == Format::Json {
        let as_view = if view == v1::View::Keys { EntryView::keys } else { EntryView::full };
        entries.iter().try_for_each(|entry| output.json(&as_view(entry)))?;
        return output.flush();
    }
    if entries.is_empty() {
        return if first { output.faint("no entries") } else { Ok(()) };
    }
    let header = ["NAMESPACE", "KEY", "KIND", "REVISION", "AUTHOR", "UPDATED", "CONTENT"];
    let header = if view == v1::View::Keys { &header[..6] } else { &header[..] };
    let mut rows = if first { Rows::new(header) } else { Rows::without_header() };
    for entry in entries {
        let mut cells = vec![
            entry.namespace.clone(),
            entry.key.clone(),
            kind(entry.kind),
            entry.revision.to_string(),
            entry.author.clone(),
            seconds_of(entry.update_time.as_ref()),
        ];
        if view != v1::View::Keys {
            cells.push(excerpt(&entry.content, EXCERPT_CHARS_MAX));
        }
        rows.push(&cells);
    }
    output.table(&rows.align_right(&[3]))?;
    output.flush()
}

pub(super) async fn namespaces(
    global: &Global,
    args: NamespacesArgs,
    output: &mut Output,
) -> Result<(), Error> {
    let client = global.connect().await?;
    let mut request = v1::ListNamespacesRequest {
        prefix: args.prefix,
        suffix: args.suffix,
        depth: args.depth,
        page_size: PAGE_SIZE,
        ..Default::default()
    };
    let mut first = true;
    loop {
        let page = client.list_namespaces(request.clone()).await?;
        if output.format() == Format::Json {
            for v1::NamespaceSummary { namespace, entries } in &page.namespaces {
                output.json(&NamespaceView { namespace, entries: *entries })?;
            }
        } else if first && page.namespaces.is_empty() {
            output.faint("no namespaces")?;
        } else {
            let mut rows = if first { Rows::new(&["NAMESPACE", "ENTRIES"]) } else { Rows::without_header() };
            for v1::NamespaceSummary { namespace, entries } in page.namespaces {
                rows.push(&[namespace, entries.to_string()]);
            }
            output.table(&rows.align_right(&[1]))?;
        }
        output.flush()?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
        first = false;
    }
}

pub(super) async fn history(global: &Global, args: HistoryArgs, output: &mut Output) -> Result<(), Error> {
    let client = global.connect().await?;
    let mut request = v1::HistoryRequest { namespace: args.namespace, key: args.key, ..Default::default() };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut first = true;
    loop {
        request.page_size = page_size(left);
        let mut page = client.history(request.clone()).await?;
        page.versions.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        print_versions(&page.versions, first, output)?;
        left -= page.versions.len() as u64;
        if page.next_page_token.is_empty() || left == 0 {
            return Ok(());
        }
        request.page_token = page.next_page_token;
        first = false;
    }
}

fn print_versions(versions: &[v1::Event], first: bool, output: &mut Output) -> Result<(), Error> {
    if output.format() == Format::Json {
        versions.iter().try_for_each(|event| output.json(&EventView::new(event, None)))?;
        return output.flush();
    }
    if versions.is_empty() {
        return if first { output.faint("no versions are kept") } else { Ok(()) };
    }
    let header = ["REVISION", "TIME", "EVENT", "CAUSE", "AUTHOR", "CONTENT"];
    let mut rows = if first { Rows::new(&header) } else { Rows::without_header() };
    for event in versions {
        let (author, content) =
            event.entry.as_ref().map_or(("", ""), |entry| (&*entry.author, &*entry.content));
        rows.push(&[
            event.revision.to_string(),
            seconds_of(event.time.as_ref()),
            event_type(event.r#type),
            cause(event.cause),
            author.to_owned(),
            excerpt(content, EXCERPT_CHARS_MAX),
        ]);
    }
    output.table(&rows.align_right(&[0]))?;
    output.flush()
}
