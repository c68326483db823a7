//! A change applied in several steps, of which the last one counts: whatever fails before it
//! leaves what is in force as it was.
//!
//! `firewall_apply apply <folder>` puts the rules of `<folder>/wanted` in force, which then stand
//! in `<folder>/active`, and tells every step as it is reported.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::Dispatch;
use serde::{Deserialize, Serialize};

/// Puts the wanted rules in force.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(timeout = "1m", on_duplicate = "queue_one", alias = "firewall.apply")]
struct ApplyFirewall {
    /// Holds `wanted`, one file of rules after the other by name.
    folder: PathBuf,
    /// What each step takes, as a real one would.
    #[serde(default)]
    step_ms: u64,
}

impl Process for ApplyFirewall {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let staged = self.folder.join("staged");
        let files = files_of(&self.folder.join("wanted"))?;
        // Two steps for each file, and the switch.
        let steps = files.len() as f64 * 2.0 + 1.0;
        let mut done = 0.0;
        let mut rules = Vec::new();
        for file in &files {
            self.step(cx, done / steps, &format!("checking {}", name_of(file)))?;
            rules.extend(check(file)?);
            done += 1.0;
        }
        let mut text = String::new();
        for file in &files {
            self.step(cx, done / steps, &format!("staging {}", name_of(file)))?;
            text.push_str(&std::fs::read_to_string(file)?);
            done += 1.0;
        }
        std::fs::write(&staged, text)?;
        self.step(cx, done / steps, "switching")?;
        // The one step that cannot be half done.
        std::fs::rename(&staged, self.folder.join("active"))?;
        cx.progress(1.0, "in force")?;
        cx.output(&rules.len())
    }
}

impl ApplyFirewall {
    fn step(&self, cx: &mut Context, fraction: f64, what: &str) -> Result<(), Failure> {
        println!("{what}");
        cx.progress(fraction, what)?;
        sleep(Duration::from_millis(self.step_ms));
        Ok(())
    }
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

fn name_of(file: &Path) -> String {
    file.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Rules are `allow` or `deny` and a port. A mistake does not go away by trying again.
fn check(file: &Path) -> Result<Vec<(bool, u16)>, Failure> {
    let text = std::fs::read_to_string(file)?;
    let rule = |(number, line): (usize, &str)| {
        let parsed = line.split_once(' ').and_then(|(verb, port)| {
            let port = port.parse().ok()?;
            match verb {
                "allow" => Some((true, port)),
                "deny" => Some((false, port)),
                _ => None,
            }
        });
        let place = format!("{}:{}", name_of(file), number + 1);
        parsed.ok_or_else(|| Failure::discard(format!("{place}: no rule: {line:?}")))
    };
    text.lines().enumerate().map(rule).collect()
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [command, folder] if command == "apply" => match apply(folder) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
        _ => dispatcher_runner::main(),
    }
}

fn apply(folder: &str) -> Result<ExitCode, Box<dyn Error>> {
    let folder = std::path::absolute(folder)?;
    let step_ms = 50;
    let handle = ApplyFirewall { folder, step_ms }.spawn_process()?;
    let mut told = None;
    let ended = loop {
        let ended = handle.wait_timeout(Duration::from_millis(10))?;
        let progress = handle.status()?.progress;
        if let Some((fraction, text)) = &progress
            && progress != told
        {
            println!("{:3.0} %  {text}", fraction * 100.0);
            told.clone_from(&progress);
        }
        if let Some(ended) = ended {
            break ended;
        }
    };
    match ended.output::<usize>()? {
        Some(rules) => {
            println!("{rules} rules are in force");
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let options = (ApplyFirewall::definition().options)();
            println!("nothing changed: it {}", ended.cause().sentence(&options));
            Ok(ExitCode::FAILURE)
        }
    }
}
