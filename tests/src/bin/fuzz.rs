//! Runs the simulator over many seeds, and shows what a failing one did.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

use dispatcher_runner::simulator::{Broken, Coverage, Report, Telling, run};

const HELP: &str = "\
fuzz: drives supervisors through made-up worlds, one for each seed, and checks every invariant

usage: fuzz [--seed N] [--iterations N] [--reproduce] [--quiet]

  --seed N        the first seed (drawn from the clock)
  --iterations N  so many seeds from there on (1000)
  --reproduce     one seed, told line by line, twice: both must be the same
  --quiet         no table of what was reached
";

struct Arguments {
    seed: u64,
    iterations: u64,
    reproduce: bool,
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\ntry: fuzz --help");
            return ExitCode::from(64);
        }
    };
    if arguments.reproduce {
        reproduce(arguments.seed)
    } else {
        fuzz(&arguments)
    }
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut arguments = Self {
            seed: fresh_seed(),
            iterations: 1_000,
            reproduce: false,
            quiet: false,
        };
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words
                    .next()
                    .ok_or_else(|| format!("{word} needs a value"))?;
                value
                    .parse()
                    .map_err(|_| format!("{word}: {value:?} is no number"))
            };
            match word.as_str() {
                "--seed" => arguments.seed = number()?,
                "--iterations" => arguments.iterations = number()?,
                "--reproduce" => arguments.reproduce = true,
                "--quiet" => arguments.quiet = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(Some(arguments))
    }
}

fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.as_nanos());
    u64::try_from(nanos % 1_000_000_000_000).unwrap_or(0)
}

fn fuzz(arguments: &Arguments) -> ExitCode {
    let start = Instant::now();
    let mut coverage = Coverage::default();
    let (mut events, mut least, mut hash) = (0, u64::MAX, 0_u64);
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.iterations) {
        match attempt(seed, Telling::Quiet) {
            Ok(report) => {
                coverage.add(&report.coverage);
                events += report.events;
                least = least.min(report.events);
                hash = hash.rotate_left(1) ^ report.hash;
            }
            Err(broken) => {
                show(seed, &broken);
                return ExitCode::FAILURE;
            }
        }
    }
    if !arguments.quiet {
        for (name, count) in coverage.table() {
            println!("{count:>10}  {name}");
        }
    }
    println!(
        "{} seeds from {} on: {events} events, at least {least} a seed, in {:.1} s; hash {hash:016x}",
        arguments.iterations,
        arguments.seed,
        start.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

fn reproduce(seed: u64) -> ExitCode {
    let first = attempt(seed, Telling::Aloud);
    let second = attempt(seed, Telling::Quiet);
    match (first, second) {
        (Ok(first), Ok(second)) if first.hash == second.hash => {
            println!(
                "seed {seed}: {} events, hash {:016x}",
                first.events, first.hash
            );
            ExitCode::SUCCESS
        }
        (Err(broken), Err(again)) if broken.tail == again.tail => {
            show(seed, &broken);
            ExitCode::FAILURE
        }
        (_, _) => {
            println!("seed {seed} went two ways: the simulator itself is broken");
            ExitCode::FAILURE
        }
    }
}

/// A run; an assertion of the engine is a broken invariant too.
fn attempt(seed: u64, telling: Telling) -> Result<Report, Box<Broken>> {
    panic::catch_unwind(AssertUnwindSafe(|| run(seed, telling))).unwrap_or_else(|panic| {
        Err(Box::new(Broken {
            invariant: "assertions hold",
            detail: text_of(&*panic),
            tail: Vec::new(),
        }))
    })
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
    text.unwrap_or_else(|| "a panic without words".into())
}

fn show(seed: u64, broken: &Broken) {
    for line in &broken.tail {
        println!("{line}");
    }
    println!("seed {seed} broke an invariant: {}", broken.invariant);
    println!("  {}", broken.detail);
    println!("replay it: cargo run -p dispatcher-tests --bin fuzz -- --seed {seed} --reproduce");
}
