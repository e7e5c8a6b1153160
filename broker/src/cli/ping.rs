//! `leveret ping`: logs in to a broker as a client does, and leaves.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use leveret::wire::method::connection::{self, Method as Connection};
use leveret::wire::{
    FrameKind, FrameLimit, Method, ProtocolHeader, Secret, TableWriter, Value, encoder, scan,
};
use leveret::{Config, LoadedConfig};

use super::{Verdict, output};

/// A broker that does not answer within this is as good as down.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `connection.start` may take, with some room.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Pings the broker that `config` describes.
pub(crate) fn run(config: &LoadedConfig) -> anyhow::Result<Verdict> {
    let config = &config.broker;
    let address = config
        .amqp
        .map(reachable)
        .context("no address is configured: amqp = \"none\"")?;
    let begun = Instant::now();
    log_in(config, address).with_context(|| format!("no broker answers at {address}"))?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    output::line(&format!(
        "the broker at {address} answers ({milliseconds:.1} ms)"
    ))?;
    Ok(Verdict::Good)
}

/// A broker that listens everywhere is reached here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, address.port())
}

fn log_in(config: &Config, address: SocketAddr) -> anyhow::Result<()> {
    let mut peer = Peer::connect(address)?;
    peer.socket.write_all(&ProtocolHeader::SUPPORTED)?;
    peer.expect("connection.start", |method| {
        matches!(method, Connection::Start(_)).then_some(())
    })?;
    let properties = client_properties()?;
    let response = format!(
        "\0{}\0{}",
        config.default_user,
        config.default_pass.expose()
    );
    peer.send(connection::StartOk {
        client_properties: properties.as_reader(),
        mechanism: "PLAIN",
        response: Secret::new(response.as_bytes()),
        locale: "en_US",
    })?;
    let tune = peer.expect("connection.tune", |method| match method {
        Connection::Tune(tune) => Some(*tune),
        _ => None,
    })?;
    peer.send(connection::TuneOk {
        channel_max: tune.channel_max,
        frame_max: tune.frame_max,
        heartbeat: 0,
    })?;
    peer.send(connection::Open {
        virtual_host: &config.default_vhost,
        capabilities: "",
        insist: false,
    })?;
    peer.expect("connection.open-ok", |method| {
        matches!(method, Connection::OpenOk(_)).then_some(())
    })?;
    peer.send(connection::Close {
        reply_code: 200,
        reply_text: "pinged",
        class_id: 0,
        method_id: 0,
    })?;
    peer.expect("connection.close-ok", |method| {
        matches!(method, Connection::CloseOk(_)).then_some(())
    })
}

/// Asks to be told of a refusal, instead of having the socket dropped.
fn client_properties() -> anyhow::Result<TableWriter> {
    let mut capabilities = TableWriter::new();
    capabilities.entry("authentication_failure_close", Value::Boolean(true))?;
    let mut properties = TableWriter::new();
    properties.entry("capabilities", Value::Table(capabilities.as_reader()))?;
    properties.entry("connection_name", Value::LongString(b"leveret ping"))?;
    Ok(properties)
}

struct Peer {
    socket: TcpStream,
    input: Vec<u8>,
    deadline: Instant,
}

impl Peer {
    fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            input: Vec::new(),
            deadline: Instant::now() + PATIENCE,
        })
    }

    fn send<'a>(&mut self, method: impl Into<Method<'a>>) -> anyhow::Result<()> {
        let mut output = Vec::new();
        encoder::method(&mut output, 0, method, FrameLimit::INITIAL)?;
        Ok(self.socket.write_all(&output)?)
    }

    /// Reads one method and takes from it what `select` wants.
    fn expect<T>(
        &mut self,
        wanted: &str,
        select: impl Fn(&Connection<'_>) -> Option<T>,
    ) -> anyhow::Result<T> {
        loop {
            if let Some((frame, length)) = scan(&self.input, FrameLimit::INITIAL)? {
                let payload = frame.payload(&self.input);
                let method = match frame.kind {
                    FrameKind::Method => Method::parse(payload)?,
                    FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat => {
                        bail!("something else than {wanted} came")
                    }
                };
                let selected = match &method {
                    Method::Connection(Connection::Close(close)) => {
                        bail!("{} {}", close.reply_code, close.reply_text)
                    }
                    Method::Connection(method) => select(method),
                    _ => None,
                };
                let Some(selected) = selected else {
                    bail!("{} came instead of {wanted}", method.name());
                };
                self.input.drain(..length);
                return Ok(selected);
            }
            self.read(wanted)?;
        }
    }

    fn read(&mut self, wanted: &str) -> anyhow::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.input.len() > INPUT_BYTES_MAX {
            bail!("{wanted} does not come");
        }
        self.socket.set_read_timeout(Some(left))?;
        let mut buffer = [0; 4096];
        let read = self
            .socket
            .read(&mut buffer)
            .with_context(|| format!("{wanted} does not come"))?;
        if read == 0 {
            bail!("the broker closed the connection before {wanted}");
        }
        self.input.extend_from_slice(&buffer[..read]);
        Ok(())
    }
}
