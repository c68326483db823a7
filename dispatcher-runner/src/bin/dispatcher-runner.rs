//! The generic binary: the command line without dispatchers of its own.

fn main() -> std::process::ExitCode {
    dispatcher_runner::main()
}
