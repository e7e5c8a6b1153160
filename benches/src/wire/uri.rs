//! `amqp://user:password@host:port/vhost`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Where a broker listens and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) virtual_host: String,
}

impl Uri {
    /// `host:port`, as the resolver wants it.
    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Uri {
    /// Never shows the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let virtual_host = self.virtual_host.replace('%', "%25").replace('/', "%2f");
        write!(
            formatter,
            "amqp://{}@{}/{virtual_host}",
            self.user,
            self.address()
        )
    }
}

impl Serialize for Uri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no AMQP URI.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    #[error("expected amqp://user:password@host:port/vhost")]
    Scheme,
    #[error("amqps is not supported; point the benchmark at a plain listener")]
    Tls,
    #[error("{0:?} is not a port")]
    Port(String),
    #[error("no host")]
    NoHost,
    #[error("{0:?} is not percent-encoded UTF-8")]
    Encoding(String),
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("amqps://") {
            return Err(UriError::Tls);
        }
        let rest = text.strip_prefix("amqp://").ok_or(UriError::Scheme)?;
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        let (authority, virtual_host) = match rest.split_once('/') {
            Some((authority, virtual_host)) => (authority, decode(virtual_host)?),
            None => (rest, "/".to_owned()),
        };
        let (login, address) = authority
            .rsplit_once('@')
            .unwrap_or(("guest:guest", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = split_address(address)?;
        if host.is_empty() {
            return Err(UriError::NoHost);
        }
        Ok(Self {
            host: decode(host)?,
            port,
            user: decode(user)?,
            password: decode(password)?,
            virtual_host,
        })
    }
}

fn split_address(address: &str) -> Result<(&str, u16), UriError> {
    let (host, port) = match address
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = match port {
        None => 5672,
        Some(port) => port.parse().map_err(|_| UriError::Port(port.to_owned()))?,
    };
    Ok((host, port))
}

fn decode(text: &str) -> Result<String, UriError> {
    let wrong = || UriError::Encoding(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or_else(wrong)?;
        // A sign would be taken for part of the number.
        let digits = Some(digits).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        let digits = digits
            .and_then(|pair| str::from_utf8(pair).ok())
            .ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: (&str, u16, &str, &str, &str)) {
        let uri: Uri = text.parse().unwrap();
        let Uri {
            host,
            port,
            user,
            password,
            virtual_host,
        } = &uri;
        let got = (
            host.as_str(),
            *port,
            user.as_str(),
            password.as_str(),
            virtual_host.as_str(),
        );
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn every_part_may_be_given_or_left_out() {
        check(
            "amqp://127.0.0.1",
            ("127.0.0.1", 5672, "guest", "guest", "/"),
        );
        check("amqp://u:p%40@h:1/%2f", ("h", 1, "u", "p@", "/"));
        check("amqp://u@h/a%2Fb?heartbeat=5", ("h", 5672, "u", "", "a/b"));
        check("amqp://[::1]:7/x", ("::1", 7, "guest", "guest", "x"));
        check("amqp://h/", ("h", 5672, "guest", "guest", ""));
    }

    #[test]
    fn what_is_no_uri_says_why() {
        let cases = [
            ("http://h", UriError::Scheme),
            ("amqps://h", UriError::Tls),
            ("amqp://h:70000", UriError::Port("70000".to_owned())),
            ("amqp://u:p@:5", UriError::NoHost),
            ("amqp://h/%2", UriError::Encoding("%2".to_owned())),
            ("amqp://h/%+f", UriError::Encoding("%+f".to_owned())),
            ("amqp://h/%zz", UriError::Encoding("%zz".to_owned())),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Uri>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let uri: Uri = "amqp://u:secret@h:1/a%2fb".parse().unwrap();
        assert_eq!(uri.to_string(), "amqp://u@h:1/a%2fb");
    }
}
