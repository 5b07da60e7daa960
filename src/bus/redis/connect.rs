//! Makes connections to one server: encrypted, logged in, RESP3, every wait bounded. Knows nothing of what they carry.

use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion,
    PushInfo, RedisConnectionInfo, TlsCertificates, aio::MultiplexedConnection, io::tcp::TcpSettings,
};

use super::options::{Address, Login, RedisOptions, Tls};

/// Why Redis did not do what it was asked for: for the log, without secrets.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{address}: {problem}")]
pub struct Trouble {
    /// Which server.
    pub address: String,
    /// What it said, or did not.
    pub problem: String,
}

impl Trouble {
    pub(super) fn of(address: &Address, error: &::redis::RedisError) -> Self {
        let hint = match error.code() {
            Some("WRONGPASS" | "NOAUTH") => "; look at bus.user and bus.password",
            Some("NOPERM") => "; the user of the bus lacks a right (docs/operations.md)",
            _ if error.kind() == ::redis::ErrorKind::AuthenticationFailed => {
                "; look at bus.user and bus.password"
            }
            _ => "",
        };
        Self { address: address.to_string(), problem: format!("{error}{hint}") }
    }

    pub(super) fn new(address: impl ToString, problem: &str) -> Self {
        Self { address: address.to_string(), problem: problem.to_owned() }
    }
}

/// Connects to a server as the user of the bus.
pub(super) async fn connect(
    options: &RedisOptions,
    address: &Address,
    on_push: impl Fn(PushInfo) + Send + Sync + 'static,
) -> Result<MultiplexedConnection, Trouble> {
    connect_as(options, options.login.as_ref(), address, on_push).await
}

/// Connects to a server as somebody.
pub(super) async fn connect_as(
    options: &RedisOptions,
    login: Option<&Login>,
    address: &Address,
    on_push: impl Fn(PushInfo) + Send + Sync + 'static,
) -> Result<MultiplexedConnection, Trouble> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(options.connect_timeout))
        .set_response_timeout(Some(options.response_timeout))
        .set_push_sender(move |push| -> Result<(), ()> {
            on_push(push);
            Ok(())
        });
    let connection = async {
        let client = client(options.tls.as_ref(), login, address)?;
        client.get_multiplexed_async_connection_with_config(&config).await
    };
    connection.await.map_err(|error| Trouble::of(address, &error))
}

fn client(tls: Option<&Tls>, login: Option<&Login>, address: &Address) -> ::redis::RedisResult<Client> {
    let mut settings =
        RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    if let Some(Login { user, password }) = login {
        settings = settings.set_password(password);
        if let Some(user) = user {
            settings = settings.set_username(user);
        }
    }
    let (host, port) = (address.host.clone(), address.port);
    let place = match tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    };
    let info = place
        .into_connection_info()?
        .set_redis_settings(settings)
        .set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let Some(tls) = tls else { return Client::open(info) };
    let own = tls.own.clone().map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    Client::build_with_tls(info, TlsCertificates { client_tls: own, root_cert: tls.ca.clone() })
}
