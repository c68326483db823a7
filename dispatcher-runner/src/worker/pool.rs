//! A worker of ours in a pool of ours: jobs come and go by themselves, direct requests are given to
//! whatever the kernel chooses.
//!
//! A program that serves no requests says so to each, and goes on with its jobs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dispatcher_core::frame::Frame;

use crate::process::PoolChannel;

use super::relay::Relay;
use super::{Environment, Kernel, KernelError, Worker, WorkerError};

/// Exit code of a worker that failed (`EX_SOFTWARE`).
const FAILURE_EXIT: i32 = 70;

/// The pool as a relay: what is for jobs never reaches the code that serves requests.
struct PoolRelay {
    channel: Arc<Mutex<PoolChannel>>,
    /// A request that came before there was anybody to serve it.
    first: Option<Frame>,
}

impl PoolRelay {
    fn channel(&self) -> MutexGuard<'_, PoolChannel> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay for PoolRelay {
    fn receive(&mut self) -> Result<Option<Frame>, WorkerError> {
        if let Some(frame) = self.first.take() {
            return Ok(Some(frame));
        }
        self.channel().next().map_err(WorkerError::Read)
    }

    fn arrived(&mut self) -> Result<Option<Frame>, WorkerError> {
        self.channel().arrived().map_err(WorkerError::Read)
    }

    fn send(&mut self, frame: &Frame) -> Result<(), WorkerError> {
        self.channel().send(frame).map_err(WorkerError::Write)
    }
}

/// Serves a pool until it is told to end; answers with the exit code.
pub(crate) fn serve_pool(mut channel: PoolChannel) -> i32 {
    let mut environment = Environment::of_process();
    environment.mode = channel.mode().to_owned();
    loop {
        let request = match channel.next() {
            Ok(Some(request)) => request,
            Ok(None) => return 0,
            Err(error) => return say(&error),
        };
        let mut kernel = Kernel::linked();
        if let Some(nobody) = kernel.refusal(&environment) {
            if let Err(error) = channel.send(&Frame::error(nobody.to_string())) {
                return say(&error);
            }
            continue;
        }
        let shared = Arc::new(Mutex::new(channel));
        let relay = PoolRelay {
            channel: Arc::clone(&shared),
            first: Some(request),
        };
        let mut worker = Worker::over(environment, Box::new(relay));
        let served = kernel.serve(&mut worker);
        drop(worker);
        return match served {
            Ok(()) => 0,
            Err(error) => spoilt(&shared, &error),
        };
    }
}

fn spoilt(channel: &Mutex<PoolChannel>, error: &KernelError) -> i32 {
    let text = crate::log::chain(error);
    let mut channel = channel.lock().unwrap_or_else(PoisonError::into_inner);
    channel.give_up(text);
    FAILURE_EXIT
}

fn say(error: &dyn std::error::Error) -> i32 {
    use std::io::Write as _;
    // Nobody may be left to read it.
    let _ = writeln!(
        std::io::stderr(),
        "dispatcher: {}",
        crate::log::chain(error)
    );
    FAILURE_EXIT
}
