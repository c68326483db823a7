//! Renewal of certificates: a job with arguments, a log, progress and a result.
//!
//! `certificates renew <folder> <domain>…` submits one job for each domain, all or none, and waits
//! for them; every other command is Dispatcher's own (`certificates logs <id>`).

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dispatcher_core::{Context, Dispatcher, Failure, Options, Process};
use serde::{Deserialize, Serialize};

/// Renews the certificate of one domain.
///
/// It may be submitted as often as one likes: while a renewal of the same domain is unfinished,
/// another one is dropped.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(
    alias = "certs.renew",
    timeout = "5m",
    max_queue = 100,
    concurrency = 4,
    retries = 3,
    backoff = "exponential(200ms, 1m)",
    on_duplicate = "discard"
)]
struct RenewCertificate {
    /// Whose certificate.
    domain: String,
    /// Where certificates are kept.
    folder: PathBuf,
    /// Of the account at the authority.
    #[dispatcher(secret)]
    token: String,
}

/// What a renewal answers.
#[derive(Debug, Serialize, Deserialize)]
struct Renewed {
    /// The certificate.
    file: PathBuf,
    /// Last day on which it is valid.
    valid_until: String,
}

impl Process for RenewCertificate {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        println!("renewing {}, attempt {}", self.domain, cx.attempt());
        if !self.domain.contains('.') {
            // Trying again would not help.
            return Err(Failure::discard(format!("{:?} is no domain", self.domain)));
        }
        cx.progress(0.2, "asking the authority for an order")?;
        self.order(cx.attempt())?;
        cx.progress(0.8, "writing the certificate")?;
        let file = self.folder.join(format!("{}.pem", self.domain));
        let part = file.with_extension("pem.part");
        std::fs::write(&part, format!("certificate of {}\n", self.domain))?;
        // Whoever reads the file sees the old certificate or the new one, nothing between.
        std::fs::rename(&part, &file)?;
        println!("wrote {}", file.display());
        cx.output(&Renewed {
            file,
            valid_until: "2027-02-01".to_owned(),
        })
    }

    /// Domains that are known to be slow get more time.
    fn options(&self, options: &mut Options) {
        if self.domain.ends_with(".test") {
            options.timeout = Some(Duration::from_secs(900));
        }
    }
}

impl RenewCertificate {
    /// Stands for the authority: it is busy at first when it is asked for `busy.…`.
    fn order(&self, attempt: u32) -> Result<(), Failure> {
        if self.domain.starts_with("busy.") && attempt == 1 {
            eprintln!("the authority answered 503");
            return Err(Failure::retry_after(Duration::from_millis(100)));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    dispatcher_runner::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, folder, domains @ ..] = &arguments[..] else {
        return dispatcher_runner::main();
    };
    if command != "renew" {
        return dispatcher_runner::main();
    }
    match renew(folder.into(), domains) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn renew(folder: PathBuf, domains: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    let jobs = domains.iter().map(|domain| RenewCertificate {
        domain: domain.clone(),
        folder: folder.clone(),
        token: "s3cret".to_owned(),
    });
    let handles = dispatcher_runner::spawn_all(jobs)?;
    let mut code = ExitCode::SUCCESS;
    for (domain, handle) in domains.iter().zip(handles) {
        let ended = handle.wait()?;
        match ended.output::<Renewed>()? {
            Some(renewed) => println!("{domain}: valid until {}", renewed.valid_until),
            None => {
                let options = (RenewCertificate::definition().options)();
                println!("{domain}: {}", ended.cause().sentence(&options));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
