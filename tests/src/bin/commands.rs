//! A program whose `main` is Dispatcher's command line, with dispatchers to mistype.

use std::path::PathBuf;
use std::process::ExitCode;

use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_tests::{PATIENCE, eventually};
use serde::{Deserialize, Serialize};

/// Renews one certificate.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, alias = "certs.renew")]
#[serde(deny_unknown_fields)]
struct RenewCertificate {
    domain: String,
    #[serde(default)]
    days: u32,
}

impl Process for RenewCertificate {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        cx.output(&format!("{} for {} days", self.domain, self.days))?;
        Ok(())
    }
}

/// Waits until somebody makes a file, one at a time.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0)]
struct Gated {
    gate: PathBuf,
}

impl Process for Gated {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        let gate = &self.gate;
        eventually("the gate opens", 5 * PATIENCE, || gate.exists());
        Ok(())
    }
}

fn main() -> ExitCode {
    dispatcher_runner::main()
}
