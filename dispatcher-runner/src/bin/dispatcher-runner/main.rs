//! The generic binary: the command line without dispatchers of its own, and the benchmark.

mod bench;

fn main() -> std::process::ExitCode {
    match bench::baseline_role() {
        Some(code) => code,
        None => dispatcher_runner::__generic::generic_main(bench::run),
    }
}
