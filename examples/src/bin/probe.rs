//! Probe.
use dispatcher_core::{Context, Dispatcher, Failure, Process};
use dispatcher_runner::Dispatch;
use serde::{Deserialize, Serialize};

/// Greets.
#[derive(Dispatcher, Serialize, Deserialize)]
#[dispatcher(max_queue = 0, concurrency = 0)]
struct Greet {
    name: String,
}

impl Process for Greet {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        if self.name == "print" {
            println!("hello {}", self.name);
        }
        if self.name == "crash" {
            std::process::abort();
        }
        cx.output(&self.name)?;
        Ok(())
    }
}

fn main() -> Result<(), dispatcher_runner::SpawnError> {
    dispatcher_runner::init();
    let t = std::time::Instant::now();
    let job = Greet {
        name: "print".into(),
    }
    .spawn_process()?;
    eprintln!("{job:?} {:?}", t.elapsed());
    eprintln!("{:?} {:?}", job.wait(), t.elapsed());
    let t = std::time::Instant::now();
    eprintln!(
        "{:?} {:?}",
        Greet {
            name: "crash".into()
        }
        .run_process()?,
        t.elapsed()
    );
    let n: usize = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(10);
    let t = std::time::Instant::now();
    let mut last = None;
    for _ in 0..n.div_ceil(1000) {
        last = dispatcher_runner::spawn_all((0..n.min(1000)).map(|i| Greet {
            name: i.to_string(),
        }))?
        .pop();
    }
    eprintln!("submitted {:?}", t.elapsed());
    let _ = last.unwrap().wait();
    eprintln!(
        "{n} jobs {:?} {:.0}/s",
        t.elapsed(),
        n as f64 / t.elapsed().as_secs_f64()
    );
    Ok(())
}
