//! Measures Dispatcher on PostgreSQL beside other people's queues, in one run on one cluster.
//!
//! Everyone gets a database of its own for each measurement, and all take turns, so that a machine
//! that is busy for a while slows each of them. Nothing here asserts a time.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod ours;

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use dispatcher_tests::{Measure, PEERS, Peer, PeerKind, Postgres, workspace};
use serde_json::Value;

type Done<T = ()> = Result<T, Box<dyn Error>>;

const HELP: &str = "\
peers: Dispatcher on PostgreSQL beside graphile_worker, apalis-postgres and dispatcherd

usage: peers [--jobs N] [--rounds N]

  --jobs N    jobs of each measurement (20000; a tenth of it where they are sent one by one)
  --rounds N  turns that everyone takes (5); the median is told

Build it with --release. It builds the peers, which takes some minutes the first time, and starts a
cluster of its own that syncs what it commits.
";

/// First word of a copy that is measured: URL, measure and number of jobs follow.
const OURS: &str = "ours";

fn main() -> ExitCode {
    dispatcher_runner::init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        [OURS, url, what, count] => ours::measure(url, what, count),
        ["--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => compare(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(words: &[&str]) -> Done {
    let (mut jobs, mut rounds) = (20_000, 5);
    for pair in words.chunks(2) {
        match pair {
            ["--jobs", number] => jobs = number.parse()?,
            ["--rounds", number] => rounds = number.parse()?,
            _ => return Err("that is not understood; try: peers --help".into()),
        }
    }
    if cfg!(debug_assertions) {
        eprintln!("note: this build is not optimised, so its figures mean little");
    }
    let mut sides = vec![Side::ours()?];
    for peer in &PEERS {
        sides.push(Side::of(peer)?);
    }
    let server = Postgres::alone();
    // Tests can do without what makes an acknowledgement worth something.
    server.psql("postgres", "ALTER SYSTEM SET fsync = on");
    server.psql("postgres", "SELECT pg_reload_conf()");
    let version = server.psql("postgres", "SHOW server_version");
    println!("PostgreSQL {version}, fsync on, synchronous_commit on; {jobs} jobs, {rounds} rounds");
    for measure in Measure::ALL {
        let count = match measure {
            Measure::Enqueue => (jobs / 10).max(1),
            Measure::Drain | Measure::EndToEnd => jobs,
        };
        let sides = sides.iter().filter(|side| side.measures.contains(&measure));
        let mut figures: Vec<_> = sides.map(|side| (side, Vec::new())).collect();
        for _ in 0..rounds {
            for (side, times) in &mut figures {
                times.push(side.seconds(&server, measure, count)?);
            }
        }
        tell(measure, count, &figures);
    }
    Ok(())
}

/// One of those that are compared.
struct Side {
    name: String,
    program: Vec<PathBuf>,
    measures: &'static [Measure],
}

impl Side {
    fn ours() -> Done<Self> {
        Ok(Self {
            name: format!("Dispatcher {}", env!("CARGO_PKG_VERSION")),
            program: vec![std::env::current_exe()?, OURS.into()],
            measures: &Measure::ALL,
        })
    }

    fn of(peer: &Peer) -> Done<Self> {
        let folder = peer.folder();
        let program = match peer.kind {
            PeerKind::Rust => vec![build(peer)?],
            PeerKind::Python => {
                let python = workspace().join("target/tools/dispatcherd/bin/python3");
                vec![python, folder.join("peer.py")]
            }
        };
        Ok(Self {
            name: format!("{} {}", peer.name, peer.version),
            program,
            measures: peer.measures,
        })
    }

    /// What it takes, in a database that nobody has used.
    fn seconds(&self, server: &Postgres, measure: Measure, count: usize) -> Done<f64> {
        let database = server.database();
        // Ours has sockets and locks somewhere.
        let folder = tempfile::tempdir()?;
        let [program, first @ ..] = &self.program[..] else {
            return Err("there is no program".into());
        };
        let output = Command::new(program)
            .args(first)
            .args([&database.url(), measure.word(), &count.to_string()])
            .env("XDG_STATE_HOME", folder.path())
            .current_dir(folder.path())
            .output()?;
        let what = format!("{}, {}", self.name, measure.word());
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("{what}: {}: {}", output.status, said.trim()).into());
        }
        let told: Value = serde_json::from_slice(&output.stdout)?;
        let seconds = told["seconds"].as_f64();
        seconds.ok_or_else(|| format!("{what}: no seconds in {told}").into())
    }
}

/// Builds a peer's program; all share what they have in common.
fn build(peer: &Peer) -> Done<PathBuf> {
    let target = workspace().join("target/peers");
    let status = Command::new(dispatcher_tests::cargo())
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(peer.folder().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(format!("cargo build of {}: {status}", peer.name).into());
    }
    let name = format!("peer-{}", peer.name.replace('_', "-"));
    Ok(target.join("release").join(name))
}

/// Prints everyone's rate, and what Dispatcher takes beside each: below 1.00 it is faster.
fn tell(measure: Measure, count: usize, figures: &[(&Side, Vec<f64>)]) {
    println!("\n{}, {count} jobs", measure.word());
    let Some(((_, ours), _)) = figures.split_first() else {
        return;
    };
    for (side, times) in figures {
        let seconds = median(times.clone());
        let (rate, each) = (count as f64 / seconds, seconds * 1e6 / count as f64);
        let ratios = ours.iter().zip(times).map(|(ours, theirs)| ours / theirs);
        let ratio = median(ratios.collect());
        println!(
            "{:26} {rate:>8.0}/s {each:>8.1} µs   Dispatcher takes {ratio:.2} x",
            side.name
        );
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
