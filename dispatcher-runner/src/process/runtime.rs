//! The runtime of jobs that are futures: tokio on the one thread of their process.
//!
//! It begins with the job and is gone with it. What a job has left in the background is not waited
//! for: its process ends next.

use std::pin::Pin;

use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// Runs the future to its end on this thread, where it may use tokio's timers, sockets and
/// `spawn_local`.
///
/// # Panics
/// When the kernel gives no descriptors for the runtime: that is the job's outcome then.
pub(crate) fn drive(future: Pin<&mut dyn Future<Output = ()>>) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => InBackground(Some(runtime)),
        Err(error) => panic!("tokio's runtime cannot begin: {error}"),
    };
    if let Some(runtime) = &runtime.0 {
        LocalSet::new().block_on(runtime, future);
    }
}

/// Ends without waiting for what blocks, also when the job panics.
struct InBackground(Option<Runtime>);

impl Drop for InBackground {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn timers_tasks_and_blocking_work_are_there_and_nothing_is_waited_for() {
        let began = Instant::now();
        let mut result = None;
        let (_never, gate) = std::sync::mpsc::channel::<()>();
        drive(pin!(async {
            tokio::task::spawn_blocking(move || gate.recv());
            let one = tokio::task::spawn_local(async { 1 });
            tokio::time::sleep(Duration::from_millis(1)).await;
            let two = tokio::spawn(async { 2 });
            result = Some((one.await.unwrap(), two.await.unwrap()));
        }));
        assert_eq!(result, Some((1, 2)));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
