//! The binary `leveret-chat`: the chat's service, with a broker inside unless one is named.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
