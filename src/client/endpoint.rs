//! Where a coordinator listens, as a user writes it. Knows nothing of connections.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use tonic::transport::Uri;

/// The port a coordinator listens on unless told otherwise.
pub const PORT_DEFAULT: u16 = 7420;

/// The address of a coordinator: `http://host:port`, `host:port`, `host` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Address);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A host and a port, always both.
    Tcp(Uri),
    Unix(PathBuf),
}

impl Endpoint {
    /// The socket at this absolute path.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self(Address::Unix(path.into()))
    }

    /// The path of the socket, if the endpoint is one.
    pub fn unix_path(&self) -> Option<&Path> {
        match &self.0 {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) => None,
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
