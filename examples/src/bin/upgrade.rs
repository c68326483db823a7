//! An upgrade that nothing else of its kind may accompany, not even waiting: `max_queue = 1`.
//!
//! `upgrade run <folder> <version> [--dry-run]` installs a version from `<folder>/versions`, or
//! says what that would change. While one is unfinished, dry or not, another one is refused.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::{Dispatch, SpawnError};
use serde::{Deserialize, Serialize};

/// Installs a version, whole or not at all.
///
/// It is not run a second time when its supervisor is lost: somebody should look first.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(timeout = "30m", grace = "1m", max_queue = 1, on_lost = "fail")]
struct Upgrade {
    /// Holds `versions/<version>` and `installed`.
    folder: PathBuf,
    /// The version.
    version: String,
    /// Only says what would change.
    #[serde(default)]
    dry_run: bool,
    /// What each file takes, as a real one would.
    #[serde(default)]
    file_ms: u64,
}

/// What an upgrade changes, or would.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    dry_run: bool,
    add: Vec<String>,
    change: Vec<String>,
    remove: Vec<String>,
}

impl Process for Upgrade {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let from = self.folder.join("versions").join(&self.version);
        let installed = self.folder.join("installed");
        let wanted = read(&from)
            .map_err(|error| Failure::discard(format!("no version {}: {error}", self.version)))?;
        let there = if installed.is_dir() {
            read(&installed)?
        } else {
            BTreeMap::new()
        };
        let plan = Plan::between(&there, &wanted, self.dry_run);
        println!("{plan:?}");
        if !self.dry_run {
            self.install(cx, &wanted, &installed)?;
        }
        cx.output(&plan)
    }
}

impl Upgrade {
    /// Builds the new version beside the old one; the exchange is the only moment between them.
    fn install(
        &self,
        cx: &mut Context,
        wanted: &BTreeMap<String, Vec<u8>>,
        installed: &Path,
    ) -> Result<(), Failure> {
        let new = self.folder.join("installed.new");
        let old = self.folder.join("installed.old");
        for left in [&new, &old] {
            if left.exists() {
                std::fs::remove_dir_all(left)?;
            }
        }
        std::fs::create_dir_all(&new)?;
        for (number, (name, bytes)) in wanted.iter().enumerate() {
            cx.progress(number as f64 / wanted.len() as f64, name)?;
            std::fs::write(new.join(name), bytes)?;
            if self.is_stopped_meanwhile(cx) {
                std::fs::remove_dir_all(&new)?;
                return Err(Failure::discard("stopped before anything was changed"));
            }
        }
        if installed.exists() {
            std::fs::rename(installed, &old)?;
        }
        std::fs::rename(&new, installed)?;
        if old.exists() {
            std::fs::remove_dir_all(&old)?;
        }
        Ok(())
    }

    /// Lets a file's time pass. To ask makes TERM a flag: there is time to clear away.
    fn is_stopped_meanwhile(&self, cx: &mut Context) -> bool {
        let start = Instant::now();
        let time = Duration::from_millis(self.file_ms);
        loop {
            if cx.cancelled() {
                return true;
            }
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            sleep(left.min(Duration::from_millis(10)));
        }
    }
}

impl Plan {
    fn between(
        there: &BTreeMap<String, Vec<u8>>,
        wanted: &BTreeMap<String, Vec<u8>>,
        dry_run: bool,
    ) -> Self {
        let mut plan = Self {
            dry_run,
            ..Self::default()
        };
        for (name, bytes) in wanted {
            match there.get(name) {
                None => plan.add.push(name.clone()),
                Some(old) if old != bytes => plan.change.push(name.clone()),
                Some(_) => {}
            }
        }
        let gone = there.keys().filter(|name| !wanted.contains_key(*name));
        plan.remove = gone.cloned().collect();
        plan
    }
}

fn read(folder: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, std::fs::read(entry.path())?);
    }
    Ok(files)
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = match words[..] {
        ["run", folder, version] => run(folder, version, false),
        ["run", folder, version, "--dry-run"] => run(folder, version, true),
        _ => return dispatcher_runner::main(),
    };
    match run {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &str, version: &str, dry_run: bool) -> Result<ExitCode, Box<dyn Error>> {
    let job = Upgrade {
        folder: std::path::absolute(folder)?,
        version: version.to_owned(),
        dry_run,
        file_ms: 0,
    };
    let ended = match job.run_process() {
        Ok(ended) => ended,
        Err(refused @ SpawnError::QueueFull { .. }) => {
            println!("another upgrade is under way; {}", refused.advice());
            return Ok(ExitCode::from(69));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(plan) = ended.output::<Plan>()? else {
        let options = (Upgrade::definition().options)();
        println!("nothing changed: it {}", ended.cause().sentence(&options));
        return Ok(ExitCode::FAILURE);
    };
    let word = if plan.dry_run { "would" } else { "did" };
    for (verb, names) in [
        ("add", &plan.add),
        ("change", &plan.change),
        ("remove", &plan.remove),
    ] {
        for name in names {
            println!("{word} {verb} {name}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
