//! Finding the binary, and building it if need be.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};

/// The binary under test.
pub(crate) fn path() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| find().expect("there is a binary to test"))
}

fn find() -> Result<PathBuf> {
    if let Some(named) = env::var_os("LEVERET_BIN") {
        return Ok(PathBuf::from(named));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the package lies in the workspace")?;
    // target/PROFILE/deps/server-HASH
    let test = env::current_exe()?;
    let profile = test
        .ancestors()
        .nth(2)
        .context("tests lie in a profile's folder")?;
    let binary = profile.join(format!("leveret{}", env::consts::EXE_SUFFIX));
    let built = fs::metadata(&binary).and_then(|found| found.modified());
    if !built.is_ok_and(|built| newest(&workspace.join("broker")).is_ok_and(|code| code < built)) {
        build(workspace, profile)?;
    }
    ensure!(binary.exists(), "{} was not built", binary.display());
    Ok(binary)
}

/// When the latest change to anything in `folder` was.
fn newest(folder: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let changed = if entry.file_type()?.is_dir() {
            self::newest(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        };
        newest = newest.max(changed);
    }
    Ok(newest)
}

fn build(workspace: &Path, profile: &Path) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile_name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "leveret",
            "--bin",
            "leveret",
        ])
        .args(["--profile", profile_name])
        .current_dir(workspace)
        .status()?;
    ensure!(status.success(), "the binary does not build");
    Ok(())
}
