//! The connection: header, handshake, tuning, frames, close.

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::raw::method;

leveret_tests::on_both_targets![the_protocol_header_is_answered_with_start];

/// Spec 1.1.1.
async fn the_protocol_header_is_answered_with_start(context: &Context) -> Result<()> {
    let mut peer = context.peer().await?;
    peer.send(b"AMQP\x00\x00\x09\x01").await?;
    let start = peer.expect(0, method::CONNECTION_START).await?;
    ensure!(start.arguments[..2] == [0, 9], "version {:?}", &start.arguments[..2]);
    Ok(())
}
