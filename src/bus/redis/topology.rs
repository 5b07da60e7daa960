//! Which server a channel belongs to. Asks sentinels and clusters; subscribes to nothing.

use std::sync::Arc;

use ::redis::{Value, aio::MultiplexedConnection, cmd};

use super::{
    connect::{Trouble, connect_as},
    options::{Address, Deployment, RedisOptions},
};

const SLOTS: u16 = 16_384;

/// Which server has which part of the channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topology {
    /// From slot to slot, both included; sorted.
    ranges: Vec<(u16, u16, Arc<Address>)>,
}

impl Topology {
    /// All channels are there.
    pub fn of_one(address: Address) -> Self {
        Self { ranges: vec![(0, SLOTS - 1, Arc::new(address))] }
    }

    /// The server of a channel; none if a part of the cluster has none.
    pub fn of(&self, channel: &str) -> Option<&Arc<Address>> {
        let slot = slot_of(channel);
        let range = self.ranges.iter().find(|(first, last, _)| (first..=last).contains(&&slot));
        range.map(|(_, _, address)| address)
    }

    /// Every server that has channels, once.
    pub fn servers(&self) -> Vec<Arc<Address>> {
        let mut servers: Vec<Arc<Address>> = Vec::new();
        for (_, _, address) in &self.ranges {
            if !servers.contains(address) {
                servers.push(Arc::clone(address));
            }
        }
        servers
    }

    /// Any server that has channels.
    pub fn any(&self) -> Option<&Arc<Address>> {
        self.ranges.first().map(|(_, _, address)| address)
    }

    pub fn has(&self, address: &Address) -> bool {
        self.ranges.iter().any(|(_, _, there)| **there == *address)
    }
}

/// Asks for the topology, over a connection that it keeps.
pub(super) struct Scout {
    options: Arc<RedisOptions>,
    asked: Option<(Address, MultiplexedConnection)>,
}

impl Scout {
    pub fn new(options: Arc<RedisOptions>) -> Self {
        Self { options, asked: None }
    }

    /// The topology as whoever is asked first and answers knows it.
    pub async fn look(&mut self) -> Result<Topology, Trouble> {
        let options = Arc::clone(&self.options);
        let known = match &options.deployment {
            Deployment::Single(address) => return Ok(Topology::of_one(address.clone())),
            Deployment::Sentinel { sentinels, .. } => sentinels,
            Deployment::Cluster(nodes) => nodes,
        };
        let last = self.asked.take();
        let mut trouble = Trouble::new("redis", "no address is known");
        if let Some((address, connection)) = last {
            match self.ask(&address, connection).await {
                Ok(topology) => return Ok(topology),
                Err(failed) => trouble = failed,
            }
        }
        for address in known {
            let login = match &options.deployment {
                Deployment::Sentinel { login, .. } => login,
                _ => &options.login,
            };
            let asked = match connect_as(&options, login.as_ref(), address, |_| {}).await {
                Ok(connection) => self.ask(address, connection).await,
                Err(trouble) => Err(trouble),
            };
            match asked {
                Ok(topology) => return Ok(topology),
                Err(failed) => trouble = failed,
            }
        }
        Err(trouble)
    }

    async fn ask(
        &mut self,
        address: &Address,
        mut there: MultiplexedConnection,
    ) -> Result<Topology, Trouble> {
        let topology = match &self.options.deployment {
            Deployment::Sentinel { master, .. } => ask_sentinel(address, &mut there, master).await?,
            _ => ask_cluster(address, &mut there).await?,
        };
        self.asked = Some((address.clone(), there));
        Ok(topology)
    }
}

async fn ask_sentinel(
    address: &Address,
    sentinel: &mut MultiplexedConnection,
    master: &str,
) -> Result<Topology, Trouble> {
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer: Option<(String, u16)> =
        question.query_async(sentinel).await.map_err(|error| Trouble::of(address, &error))?;
    let unknown = || Trouble::new(address, &format!("the sentinel knows no master {master}"));
    let (host, port) = answer.ok_or_else(unknown)?;
    Ok(Topology::of_one(Address { host, port }))
}

async fn ask_cluster(address: &Address, node: &mut MultiplexedConnection) -> Result<Topology, Trouble> {
    let mut question = cmd("CLUSTER");
    question.arg("SLOTS");
    let answer: Vec<Vec<Value>> =
        question.query_async(node).await.map_err(|error| Trouble::of(address, &error))?;
    let ranges: Option<Vec<_>> = answer.iter().map(|range| range_of(range, address)).collect();
    let mut ranges = ranges.ok_or_else(|| Trouble::new(address, "CLUSTER SLOTS is not understood"))?;
    if ranges.is_empty() {
        return Err(Trouble::new(address, "the cluster has no slots"));
    }
    ranges.sort_unstable_by_key(|(first, ..)| *first);
    Ok(Topology { ranges })
}

/// One row of CLUSTER SLOTS: first, last, master, replicas.
fn range_of(row: &[Value], asked: &Address) -> Option<(u16, u16, Arc<Address>)> {
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = row else { return None };
    let [host, Value::Int(port), ..] = &master[..] else { return None };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        // The node does not know its own name: it is the one by which it was asked.
        Value::Nil => "",
        _ => return None,
    };
    let host = if host.is_empty() || host == "?" { &asked.host } else { host };
    let address = Address { host: host.to_owned(), port: u16::try_from(*port).ok()? };
    Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, Arc::new(address)))
}

/// The slot of a channel or key: of what stands in its first braces, if something does.
fn slot_of(channel: &str) -> u16 {
    let braces = channel.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = braces.filter(|tag| !tag.is_empty()).unwrap_or(channel);
    crc16(hashed.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the Redis Cluster specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |mut crc: u16, byte| {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // From the specification, and from CLUSTER KEYSLOT.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        for (channel, slot) in [("foo", 12182), ("{foo}", 12182), ("x:{foo}:{bar}", 12182), ("", 0)] {
            assert_eq!(slot_of(channel), slot, "{channel}");
        }
        assert_eq!(slot_of("{}foo"), crc16(b"{}foo") % SLOTS);
    }

    #[test]
    fn a_channel_has_the_server_of_its_slot() {
        let address = |port| Arc::new(Address { host: "a".into(), port });
        let topology = Topology { ranges: vec![(0, 12181, address(1)), (12183, 16383, address(3))] };
        assert_eq!(topology.of("{foo}"), None);
        assert_eq!(topology.of("").map(|a| a.port), Some(1));
    }
}
