//! The binary `chat`: the chat for scripts and terminals.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
