//! The commands that write: put and delete. Knows nothing of how entries are stored.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    time::Duration,
};

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Error, Format, Global, KindArg, Setting, confirm,
    output::Output,
    value,
    view::{seconds_of, time_of},
};
use crate::{
    client::{self, Client},
    wire::v1::{self, precondition::Condition, put_operation::Expiry},
};

/// More than any coordinator takes, so that a wrong pipe is told before it fills the memory.
const STDIN_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Write an entry.
#[derive(Args, Clone, Debug)]
pub struct PutArgs {
    /// Where it goes, such as shared/findings or agents/coder/notes
    pub namespace: String,
    /// The text; - reads it from standard input
    pub content: String,
    /// Its key; by default the coordinator draws one
    #[arg(long, default_value = "", hide_default_value = true)]
    pub key: String,
    /// What it is; by default a fact
    #[arg(long, value_enum)]
    pub kind: Option<KindArg>,
    /// Tag it; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Give it an attribute; the value is JSON, or else a string; may be given several times
    #[arg(long = "attr", value_name = "NAME=VALUE")]
    pub attrs: Vec<Setting>,
    /// Give it attributes as a JSON object
    #[arg(long, value_name = "JSON")]
    pub attributes: Option<String>,
    /// How much it matters, 0 to 1; by default 0.5
    #[arg(long, value_name = "NUMBER")]
    pub importance: Option<f64>,
    /// How long it lives, such as 90s or 2h; by default for ever
    #[arg(long, value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    pub ttl: Option<Duration>,
    /// Where the content comes from
    #[arg(long, default_value = "", hide_default_value = true)]
    pub source: String,
    /// Only if there is no such entry
    #[arg(long, conflicts_with = "if_etag")]
    pub if_absent: bool,
    /// Only if the entry has this etag
    #[arg(long, value_name = "ETAG")]
    pub if_etag: Option<String>,
}

/// Delete an entry, or everything below a prefix.
#[derive(Args, Clone, Debug)]
pub struct DeleteArgs {
    /// The entry's namespace, or with --prefix what to clear
    pub namespace: String,
    /// The entry's key
    #[arg(required_unless_present = "prefix", conflicts_with = "prefix")]
    pub key: Option<String>,
    /// Delete everything in the namespace and below it; asks first on a terminal, and needs --yes elsewhere
    #[arg(long)]
    pub prefix: bool,
    /// With --prefix: delete at most so many entries
    #[arg(long, requires = "prefix", value_name = "N", value_parser = value::at_least_one::<u32>)]
    pub limit: Option<u32>,
    /// With --prefix: do not ask
    #[arg(long, requires = "prefix")]
    pub yes: bool,
    /// Only if the entry has this etag
    #[arg(long, conflicts_with = "prefix", value_name = "ETAG")]
    pub if_etag: Option<String>,
}

#[derive(Serialize)]
struct PutView<'a> {
    namespace: &'a str,
    key: &'a str,
    etag: &'a str,
    revision: u64,
    version: u64,
    expire_time: Option<String>,
    token: &'a str,
}

#[derive(Serialize)]
struct DeleteView<'a> {
    deleted: u64,
    more: bool,
    token: &'a str,
}

pub(super) async fn put(global: &Global, args: PutArgs, output: &mut Output) -> Result<(), Error> {
    let namespace = args.namespace.clone();
    let put = operation(args)?;
    let v1::PutResponse { result, token } = global.connect().await?.put(put).await?;
    let result = result.unwrap_or_default();
    if output.format() == Format::Json {
        return output.json(&PutView {
            namespace: &namespace,
            key: &result.key,
            etag: &result.etag,
            revision: result.revision,
            version: result.version,
            expire_time: time_of(result.expire_time.as_ref()),
            token: &token,
        });
    }
    let mut fields = vec![
        ("namespace", namespace),
        ("key", result.key),
        ("revision", result.revision.to_string()),
        ("version", result.version.to_string()),
        ("etag", result.etag),
    ];
    if result.expire_time.is_some() {
        fields.push(("expires", seconds_of(result.expire_time.as_ref())));
    }
    output.fields(&fields)
}

fn operation(args: PutArgs) -> Result<v1::PutOperation, Error> {
    let attributes = attributes(args.attributes, &args.attrs)?;
    let condition = match args.if_etag {
        Some(etag) => Some(Condition::Etag(etag)),
        None => args.if_absent.then_some(Condition::Absent(true)),
    };
    let ttl = args.ttl.map(crate::wire::Duration::try_from).transpose();
    let ttl =
        ttl.map_err(|_| Error::Input("--ttl is too long; leave it out for an entry that stays".into()))?;
    Ok(v1::PutOperation {
        namespace: args.namespace,
        key: args.key,
        kind: args.kind.map_or(v1::Kind::Unspecified, v1::Kind::from).into(),
        content: if args.content == "-" { read_stdin()? } else { args.content },
        attributes,
        tags: args.tags,
        importance: args.importance,
        expiry: ttl.map(Expiry::Ttl),
        source: args.source,
        precondition: condition.map(|condition| v1::Precondition { condition: Some(condition) }),
    })
}

/// The object as it was written, unless single attributes are to be put into it.
fn attributes(object: Option<String>, attrs: &[Setting]) -> Result<String, Error> {
    if attrs.is_empty() {
        return Ok(object.unwrap_or_default());
    }
    let mut merged: BTreeMap<String, Box<RawValue>> = match &object {
        Some(object) => serde_json::from_str(object)
            .map_err(|error| Error::Input(format!("--attributes is not a JSON object: {error}")))?,
        None => BTreeMap::new(),
    };
    for Setting { name, value } in attrs {
        merged.insert(name.clone(), value::json_or_string(value));
    }
    serde_json::to_string(&merged)
        .map_err(|error| Error::Input(format!("the attributes cannot be written as JSON: {error}")))
}

fn read_stdin() -> Result<String, Error> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(STDIN_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::Input(format!("cannot read standard input: {error}")))?;
    if bytes.len() as u64 > STDIN_BYTES_MAX {
        return Err(Error::Input("standard input holds more than an entry can (256 KiB)".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| Error::Input("standard input is not UTF-8 text".to_owned()))
}

pub(super) async fn delete(global: &Global, args: DeleteArgs, output: &mut Output) -> Result<(), Error> {
    if args.prefix && !args.yes {
        confirm::refuse_unasked("deleting below a prefix")?;
    }
    let client = global.connect().await?;
    let (deleted, more, token) = match args.key {
        Some(key) => {
            let condition = args.if_etag.map(Condition::Etag);
            let precondition = condition.map(|condition| v1::Precondition { condition: Some(condition) });
            let delete = v1::DeleteOperation { namespace: args.namespace, key, precondition };
            let v1::DeleteResponse { result, token, .. } = client.delete(delete).await?;
            (u64::from(result.unwrap_or_default().deleted), false, token)
        }
        None => {
            if !args.yes {
                let count = count_below(&client, &args.namespace).await?;
                confirm::ask(&format!("Delete {count} entries in {} and below it?", args.namespace))?;
            }
            delete_below(&client, args.namespace, args.limit).await?
        }
    };
    if output.format() == Format::Json {
        return output.json(&DeleteView { deleted, more, token: &token });
    }
    output.line(&match (deleted, more) {
        (0, _) => "there was nothing to delete".to_owned(),
        (1, false) => "deleted 1 entry".to_owned(),
        (1, true) => "deleted 1 entry; there are more".to_owned(),
        (many, false) => format!("deleted {many} entries"),
        (many, true) => format!("deleted {many} entries; there are more"),
    })
}

/// In one revision if the coordinator takes so much at once, else step by step.
async fn delete_below(
    client: &Client,
    prefix: String,
    limit: Option<u32>,
) -> Result<(u64, bool, String), Error> {
    let call = async |limit| {
        let delete = v1::DeletePrefixOperation { prefix: prefix.clone(), limit };
        let v1::DeletePrefixResponse { result, token, .. } = client.delete_prefix(delete).await?;
        let v1::DeletePrefixResult { deleted, more } = result.unwrap_or_default();
        Ok((deleted, more, token))
    };
    let refused: client::Error = match call(limit.unwrap_or_default()).await {
        Ok(all) => return Ok(all),
        Err(refused) => refused,
    };
    let step = refused.metadata("max").and_then(|max| max.parse().ok());
    let (Some("PREFIX_TOO_LARGE"), Some(step), None) = (refused.reason(), step, limit) else {
        return Err(refused.into());
    };
    let mut total = 0;
    loop {
        let (deleted, more, token) = call(step).await?;
        total += deleted;
        if !more {
            return Ok((total, false, token));
        }
    }
}

async fn count_below(client: &Client, prefix: &str) -> Result<u64, Error> {
    let filter = v1::Filter { prefixes: vec![prefix.to_owned()], ..Default::default() };
    let count = v1::ListRequest { filter: Some(filter), view: v1::View::Count.into(), ..Default::default() };
    Ok(client.list(count).await?.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(text: &str) -> Setting {
        text.parse().unwrap()
    }

    #[test]
    fn single_attributes_are_put_into_the_object() {
        let object = Some(r#"{"a": 1, "big": 12345678901234567890123}"#.to_owned());
        let attrs = [setting("a=2"), setting("b=two words"), setting("c=[1, true]"), setting("d=\"3\"")];
        assert_eq!(
            attributes(object, &attrs).unwrap(),
            r#"{"a":2,"b":"two words","big":12345678901234567890123,"c":[1, true],"d":"3"}"#
        );
    }

    #[test]
    fn an_object_alone_is_sent_as_it_was_written() {
        assert_eq!(attributes(Some("{ \"a\" :1}".into()), &[]).unwrap(), "{ \"a\" :1}");
        assert_eq!(attributes(None, &[]).unwrap(), "");
        assert_eq!(attributes(Some("[1]".into()), &[setting("a=1")]).unwrap_err().exit_code(), 7);
    }
}
