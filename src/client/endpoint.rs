//! Where a coordinator listens, as a user writes it. Knows nothing of connections.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    str::FromStr,
    sync::Arc,
};

use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::Uri;

/// The port a coordinator listens on unless told otherwise.
pub const PORT_DEFAULT: u16 = 7420;

/// The address of a coordinator: `http://host:port`, `host:port`, `host` or `unix:/path`; or a way to it of the caller's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Address);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A host and a port, always both.
    Tcp(Uri),
    Unix(PathBuf),
    Through(Way),
}

/// Anything that carries bytes.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Carrier for S {}

type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Carrier>>> + Send>>;

/// A way to a coordinator of the caller's own making.
#[derive(Clone)]
pub(super) struct Way {
    name: Arc<str>,
    pub connect: Arc<dyn Fn() -> Connecting + Send + Sync>,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Way").field(&self.name).finish()
    }
}

impl PartialEq for Way {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.connect, &other.connect)
    }
}

impl Eq for Way {}

impl Endpoint {
    /// The socket at this absolute path.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self(Address::Unix(path.into()))
    }

    /// A coordinator that is reached over connections of the caller's own making, such as a tunnel, or a pipe within the process.
    /// `name` stands for it in messages; `connect` makes one connection, and is called whenever another is needed.
    pub fn through<S, F>(name: impl Into<Arc<str>>, connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
    {
        let connect = Arc::new(move || {
            let connecting = connect();
            Box::pin(async move { Ok(Box::new(connecting.await?) as Box<dyn Carrier>) }) as Connecting
        });
        Self(Address::Through(Way { name: name.into(), connect }))
    }

    /// The path of the socket, if the endpoint is one.
    pub fn unix_path(&self) -> Option<&Path> {
        match &self.0 {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) | Address::Through(_) => None,
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.0
    }
}

impl Default for Endpoint {
    /// Where a coordinator of this machine listens unless told otherwise.
    fn default() -> Self {
        Self::from(SocketAddr::from(([127, 0, 0, 1], PORT_DEFAULT)))
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let uri = Uri::builder()
            .scheme("http")
            .authority(address.to_string())
            .path_and_query("/")
            .build()
            .expect("a socket address is an authority");
        Self(Address::Tcp(uri))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Tcp(uri) => f.write_str(uri.authority().map_or("", |authority| authority.as_str())),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Through(way) => f.write_str(&way.name),
        }
    }
}

/// The text is no address of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A scheme other than http.
    #[error("{0}:// is not supported; use host:port, http://host:port or unix:/path")]
    Scheme(String),
    /// Anything else.
    #[error("not an address; use host:port, http://host:port or unix:/path")]
    Malformed,
}

impl FromStr for Endpoint {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return parse_unix(path);
        }
        let authority = match text.split_once("://") {
            Some(("http", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some((scheme, _)) => return Err(ParseError::Scheme(scheme.to_owned())),
            None => text,
        };
        if authority.contains(['/', '?', '#', '@']) {
            return Err(ParseError::Malformed);
        }
        let uri: Uri = format!("http://{authority}/").parse().map_err(|_| ParseError::Malformed)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(ParseError::Malformed)?;
        if uri.port().is_some() {
            return Ok(Self(Address::Tcp(uri)));
        }
        // A port that is no number leaves an authority longer than its host.
        if authority.len() != host.len() {
            return Err(ParseError::Malformed);
        }
        let uri = format!("http://{host}:{PORT_DEFAULT}/").parse().map_err(|_| ParseError::Malformed)?;
        Ok(Self(Address::Tcp(uri)))
    }
}

fn parse_unix(path: &str) -> Result<Endpoint, ParseError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    match path {
        "" | "/" => Err(ParseError::Malformed),
        path => Ok(Endpoint::unix(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Endpoint>()
            .map_or_else(|error| format!("error: {error}"), |endpoint| endpoint.to_string())
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        assert_eq!(shown("127.0.0.1:7420"), "127.0.0.1:7420");
        assert_eq!(shown("http://localhost:9000"), "localhost:9000");
        assert_eq!(shown("http://localhost:9000/"), "localhost:9000");
        assert_eq!(shown("localhost"), "localhost:7420");
        assert_eq!(shown("[::1]:7420"), "[::1]:7420");
        assert_eq!(shown("[::1]"), "[::1]:7420");
        assert_eq!(shown("unix:/run/swarmem.sock"), "unix:/run/swarmem.sock");
        assert_eq!(shown("unix:///run/swarmem.sock"), "unix:/run/swarmem.sock");
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert_eq!(Endpoint::from(address), "127.0.0.1:1".parse().unwrap());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", ":7420", "host:port", "host:", "host:99999", "a/b", "http://", "unix:", "unix:/", "a b"]
        {
            assert_eq!(text.parse::<Endpoint>(), Err(ParseError::Malformed), "{text:?}");
        }
        assert_eq!("https://h:1".parse::<Endpoint>(), Err(ParseError::Scheme("https".into())));
    }
}
