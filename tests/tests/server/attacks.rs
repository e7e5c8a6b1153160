//! Peers that claim much, send little and stay: what they cost the process.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::raw::method::{self, Method};
use leveret_tests::raw::value::Table;
use leveret_tests::raw::{Frame, PROTOCOL_HEADER};

use super::process::{ANY_PORTS, PATIENCE, Server, command};

/// Of each kind.
const PEERS: usize = 150;
/// What one of them may cost, its socket's task and buffers included.
const BYTES_MAX: u64 = 64 << 10;

/// Bytes of memory that the process has.
fn resident(server: &Server) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes.context("no VmRSS")?.parse::<u64>()? << 10)
}

/// What is sent after the protocol header, before anybody has logged in.
fn claims() -> [Vec<u8>; 4] {
    let frame = |size: u32| {
        let mut bytes = vec![1, 0, 0];
        bytes.extend(size.to_be_bytes());
        bytes
    };
    // A table, and a response, of four gigabytes within a small frame.
    let start_ok = |arguments: &[u8]| {
        Frame::method(
            0,
            &Method {
                id: method::CONNECTION_START_OK,
                arguments: arguments.to_vec(),
            },
        )
        .encode()
    };
    let mut response = method::start_ok(&Table::new(), "PLAIN", b"").arguments;
    let length = response.len();
    response[length - 10..length - 6].copy_from_slice(&u32::MAX.to_be_bytes());
    [
        frame(u32::MAX),
        // As large as it may be, and never sent.
        frame(8000),
        start_ok(&[
            0xff, 0xff, 0xff, 0xff, 1, b'a', b'A', 0xff, 0xff, 0xff, 0xff,
        ]),
        start_ok(&response),
    ]
}

/// Spec 13.1. Spec 13.2. Spec 13.8. All of them are gone at the end of the handshake's time at the
/// latest, and others log in meanwhile.
#[tokio::test]
async fn claims_before_login_cost_next_to_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut command = command(directory.path());
    command.args(ANY_PORTS).arg("--in-memory");
    command.args(["--set", "limits.handshake_timeout_ms=8000"]);
    let server = Server::start(command)?;
    let address = server.amqp.context("it speaks AMQP")?;
    server.client().await?.close().await?;
    let before = resident(&server)?;
    let mut peers = Vec::new();
    for claim in claims() {
        for _ in 0..PEERS {
            let mut peer = TcpStream::connect(address)?;
            peer.set_read_timeout(Some(PATIENCE))?;
            peer.write_all(PROTOCOL_HEADER)?;
            // One that it closes at once may be closed by now.
            let _ = peer.write_all(&claim);
            peers.push(peer);
        }
    }
    server.client().await?.close().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let each = resident(&server)?.saturating_sub(before) / peers.len() as u64;
    ensure!(each < BYTES_MAX, "each of them costs {each} bytes");
    for mut peer in peers {
        // What comes before the end is connection.start. An end by reset is one, too.
        if let Err(error) = peer.read_to_end(&mut Vec::new()) {
            ensure!(
                error.kind() == std::io::ErrorKind::ConnectionReset,
                "{error}"
            );
        }
    }
    server.client().await?.close().await
}
