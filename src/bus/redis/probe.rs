//! Tries once what a bus does all the time: finds the servers, logs in, subscribes, publishes, and hears it. Keeps nothing.

use std::{sync::Arc, time::Duration};

use ::redis::{PushInfo, PushKind, Value, cmd};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    connect::{Trouble, connect},
    link::Words,
    options::{Address, RedisOptions},
    topology::{Scout, Topology},
};

/// How many names are tried to find a channel that a server has; a cluster has 16,384 slots.
const NAMES_MAX: u32 = 1_000_000;

/// A server on which it all works.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Host and port.
    pub address: String,
    /// How long what was published took to be heard.
    pub took: Duration,
}

/// Tries it on every server that has channels.
///
/// # Errors
/// What went wrong first: for people, without secrets.
pub async fn probe(options: RedisOptions) -> Result<Vec<Heard>, Trouble> {
    super::choose_cryptography(&options);
    let options = Arc::new(options);
    let topology = Scout::new(Arc::clone(&options)).look().await?;
    let mut heard = Vec::new();
    for address in topology.servers() {
        heard.push(probe_one(&options, &topology, &address).await?);
    }
    Ok(heard)
}

async fn probe_one(
    options: &RedisOptions,
    topology: &Topology,
    address: &Arc<Address>,
) -> Result<Heard, Trouble> {
    let words = Words::of(&options.deployment);
    // A dot is in no swarm's name.
    let mut names = (0..NAMES_MAX).map(|number| format!("{}:{{doctor.{number}}}", options.prefix));
    let channel = names.find(|name| topology.of(name) == Some(address));
    let channel = channel.ok_or_else(|| Trouble::new(address, "it has no slot that a channel falls into"))?;
    let said = Uuid::new_v4().to_string();
    let (heard, mut arrived) = mpsc::channel(1);
    let on_push = {
        let said = Value::BulkString(said.clone().into_bytes());
        move |push: PushInfo| {
            let is_message = matches!(push.kind, PushKind::Message | PushKind::SMessage);
            if is_message && push.data.last() == Some(&said) {
                // Once is enough.
                let _ = heard.try_send(());
            }
        }
    };
    let failed = |error| Trouble::of(address, &error);
    let mut ear = connect(options, address, on_push).await?;
    let ask = cmd("PING");
    ask.query_async::<Value>(&mut ear).await.map_err(failed)?;
    if words.sharded {
        cmd("EXISTS").arg(&channel).query_async::<Value>(&mut ear).await.map_err(failed)?;
    }
    cmd(words.subscribe).arg(&channel).query_async::<Value>(&mut ear).await.map_err(failed)?;
    let mut mouth = connect(options, address, |_| {}).await?;
    let begun = Instant::now();
    cmd(words.publish).arg(&channel).arg(&said).query_async::<Value>(&mut mouth).await.map_err(failed)?;
    match timeout(options.response_timeout, arrived.recv()).await {
        Ok(Some(())) => {}
        Ok(None) => return Err(Trouble::new(address, "the connection was closed")),
        Err(_) => return Err(Trouble::new(address, "it takes messages, and does not deliver them")),
    }
    Ok(Heard { address: address.to_string(), took: begun.elapsed() })
}
