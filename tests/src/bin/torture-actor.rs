//! One device under torture, as a process that can be killed. The only argument is the path of its
//! script.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use leveret_tests::torture::actor::{self, Script};

fn main() -> Result<()> {
    let path: PathBuf = std::env::args_os().nth(1).context("no script")?.into();
    let script: Script = serde_json::from_slice(&std::fs::read(path)?)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(actor::play(script))
}
