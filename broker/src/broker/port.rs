//! A port: taken before recovery, open to clients only after it.
//!
//! A port that is taken must not cost a recovery, so it is bound first. Nobody can connect until
//! [`Port::listen`]: what the system would hold for a broker that is still reading its log would
//! look like a broker that does not answer (spec 9.10).

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::StartError;

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 1024;

/// A bound port.
#[derive(Debug)]
pub(super) struct Port {
    socket: Socket,
    address: SocketAddr,
}

impl Port {
    /// Takes the port; clients that try to connect are refused.
    pub(super) fn bind(address: SocketAddr) -> Result<Self, StartError> {
        socket(address)
            .and_then(|socket| {
                let bound = socket.local_addr()?.as_socket();
                let address = bound.ok_or(io::ErrorKind::AddrNotAvailable)?;
                Ok(Self { socket, address })
            })
            .map_err(|source| StartError::Bind { address, source })
    }

    /// The address, with the port that the system chose if 0 was asked for.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens it.
    pub(super) fn listen(self) -> Result<TcpListener, StartError> {
        let Self { socket, address } = self;
        socket
            .listen(BACKLOG)
            .and_then(|()| TcpListener::from_std(socket.into()))
            .map_err(|source| StartError::Bind { address, source })
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A broker that was killed must be able to start again at once.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn nobody_connects_before_the_port_is_open() {
        let port = Port::bind(([127, 0, 0, 1], 0).into()).expect("a port is free");
        let address = port.address();
        assert!(TcpStream::connect(address).is_err());
        let listener = port.listen().expect("it is ours");
        assert!(TcpStream::connect(address).is_ok());

        let taken = Port::bind(address).expect_err("somebody listens there");
        assert!(matches!(taken, StartError::Bind { .. }), "{taken}");
        drop(listener);
    }
}
