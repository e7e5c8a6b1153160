//! The `leveret` binary as its operator meets it: started, asked, stopped.
//!
//! `LEVERET_BINARY` names the binary to test. Without it this workspace's is brought up to date and used.

#[path = "server/attacks.rs"]
mod attacks;
#[path = "server/binary.rs"]
mod binary;
#[path = "server/configuration.rs"]
mod configuration;
#[path = "server/definitions.rs"]
mod definitions;
#[path = "server/disk_full.rs"]
mod disk_full;
#[path = "server/flow.rs"]
mod flow;
#[path = "server/folders.rs"]
mod folders;
#[path = "server/http.rs"]
mod http;
#[path = "server/lifecycle.rs"]
mod lifecycle;
#[path = "server/limits.rs"]
mod limits;
#[path = "server/operator.rs"]
mod operator;
#[path = "server/ping.rs"]
mod ping;
#[path = "server/process.rs"]
mod process;
#[path = "server/secrets.rs"]
mod secrets;
#[path = "server/users.rs"]
mod users;
