//! The `leveret` binary: the broker as a server, and what its operator needs beside it.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
