//! Opens the bus that the configuration asks for. Knows nothing of who uses it.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;

use super::Misconfigured;
use crate::{
    bus::{
        Bus,
        local::LocalBus,
        redis::{Address, Deployment, Login, RedisBus, RedisOptions, Tls},
    },
    config::{self, BusKind, Secret, Topology},
    store::Store,
};

/// A bus for the coordinators of this store. One that is down is no error: it is waited for by itself.
///
/// # Errors
/// When a certificate cannot be read, or the store does not answer.
pub(super) async fn open(config: &config::Bus, store: &dyn Store) -> anyhow::Result<Arc<dyn Bus>> {
    match config.kind {
        BusKind::Local => Ok(Arc::new(LocalBus::default())),
        BusKind::Redis => {
            let options = redis_options(config)?;
            Ok(Arc::new(RedisBus::open(options, store.token_key().await?)))
        }
    }
}

pub(super) fn redis_options(config: &config::Bus) -> anyhow::Result<RedisOptions> {
    let ms = Duration::from_millis;
    let (addresses, with_tls) = config.addresses();
    Ok(RedisOptions {
        deployment: deployment(config, addresses)?,
        login: login(config.user.as_ref(), &config.password),
        tls: if with_tls { Some(tls(config)?) } else { None },
        prefix: config.prefix.clone(),
        payload_bytes_max: config.payload_bytes_max,
        queue_commits_max: config.queue_commits_max,
        queue_bytes_max: config.queue_bytes_max,
        backlog_messages_max: config.backlog_messages_max,
        backlog_bytes_max: config.backlog_bytes_max,
        connect_timeout: ms(config.connect_timeout_ms),
        response_timeout: ms(config.response_timeout_ms),
        heartbeat_interval: ms(config.heartbeat_interval_ms),
        retry_pause_max: ms(config.retry_pause_max_ms),
    })
}

fn deployment(config: &config::Bus, addresses: Vec<(String, u16)>) -> anyhow::Result<Deployment> {
    let mut addresses: Vec<_> = addresses.into_iter().map(|(host, port)| Address { host, port }).collect();
    Ok(match config.topology {
        Topology::Single => Deployment::Single(addresses.pop().context("bus.urls is empty")?),
        Topology::Cluster => Deployment::Cluster(addresses),
        Topology::Sentinel => Deployment::Sentinel {
            sentinels: addresses,
            master: config.sentinel_master.clone(),
            login: login(config.sentinel_user.as_ref(), &config.sentinel_password),
        },
    })
}

fn login(user: Option<&String>, password: &Secret) -> Option<Login> {
    let password = (!password.is_empty()).then(|| password.expose().to_owned())?;
    Some(Login { user: user.cloned(), password })
}

fn tls(config: &config::Bus) -> anyhow::Result<Tls> {
    let read = |key: &str, path: &Path| {
        fs::read(path)
            .map_err(|error| Misconfigured(format!("bus.{key} = {} cannot be read: {error}", path.display())))
    };
    let own = match (&config.tls_certificate_file, &config.tls_key_file) {
        (Some(certificate), Some(key)) => {
            Some((read("tls_certificate_file", certificate)?, read("tls_key_file", key)?))
        }
        _ => None,
    };
    let ca = config.tls_ca_file.as_deref().map(|path| read("tls_ca_file", path)).transpose()?;
    Ok(Tls { ca, own })
}
