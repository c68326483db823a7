//! `async fn process`: the contract for jobs that are futures.
//!
//! The core knows no runtime: who runs the job hands a [`Driver`] in through its
//! [`Link`](crate::Link). The future stays on the thread that made it, so it need not be `Send`,
//! and it is alone in its process, so that blocking in it holds nobody up.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Wake, Waker};
use std::thread::Thread;

use crate::{Context, Failure, Options, Process};

/// What a dispatcher does, as a future. A type has this or [`Process`], never both.
///
/// ```
/// use dispatcher_core::{AsyncProcess, Context, Dispatcher, Failure};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Dispatcher, Serialize, Deserialize)]
/// struct Fetch { url: String }
///
/// impl AsyncProcess for Fetch {
///     async fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
///         cx.progress(0.0, &self.url)?;
///         std::future::ready(()).await;
///         Ok(())
///     }
/// }
/// ```
pub trait AsyncProcess {
    /// Does the work, alone in its own process.
    ///
    /// # Errors
    /// Whatever the work could not do; see [`Failure`] for what can be asked for.
    fn process(&mut self, cx: &mut Context) -> impl Future<Output = Result<(), Failure>>;

    /// Adjusts the options of one job from its value, when it is submitted.
    fn options(&self, _options: &mut Options) {}
}

/// Runs a future to its end on the calling thread, and returns only then.
pub type Driver = fn(Pin<&mut dyn Future<Output = ()>>);

#[diagnostic::do_not_recommend]
impl<T: AsyncProcess> Process for T {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        // Taken before the future borrows the context.
        let drive = cx.driver();
        let mut result = None;
        drive(pin!(async {
            result = Some(AsyncProcess::process(self, cx).await);
        }));
        result.expect("invariant: a driver returns when its future is done, not before")
    }

    fn options(&self, options: &mut Options) {
        AsyncProcess::options(self, options);
    }
}

/// The driver for want of a better one: sleeps until it is woken. It has no timers and no I/O of
/// its own; futures that need a runtime's need the runtime's driver.
pub(crate) fn park(mut future: Pin<&mut dyn Future<Output = ()>>) {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut task = TaskContext::from_waker(&waker);
    while future.as_mut().poll(&mut task).is_pending() {
        // A wake that came before leaves a token, so that none is lost.
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Mutex;
    use std::task::Poll;

    use super::*;
    use crate::message::WorkerMessage;
    use crate::{Isolation, JobId, Link, LinkError};

    struct Recorder(Driver, Arc<Mutex<Vec<WorkerMessage>>>);

    impl Link for Recorder {
        fn send(&mut self, message: WorkerMessage) -> Result<(), LinkError> {
            self.1.lock().unwrap().push(message);
            Ok(())
        }

        fn cancelled(&mut self) -> bool {
            false
        }

        fn driver(&self) -> Driver {
            self.0
        }
    }

    fn context(driver: Driver) -> (Context, Arc<Mutex<Vec<WorkerMessage>>>) {
        let sent = Arc::default();
        let link = Box::new(Recorder(driver, Arc::clone(&sent)));
        let job = JobId::from_bytes([0; 10]);
        (Context::new(job, 1, None, Vec::new(), link), sent)
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Fetch {
        fail: bool,
    }

    impl AsyncProcess for Fetch {
        async fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
            // Not `Send`, and held across an await.
            let local = Rc::new(Cell::new(1));
            cx.progress(0.5, "waiting")?;
            woken_by_a_thread().await;
            local.set(local.get() + 1);
            cx.output(&local.get())?;
            if self.fail {
                "x".parse::<u32>()?;
            }
            Ok(())
        }

        fn options(&self, options: &mut Options) {
            options.isolation = Isolation::Exec;
        }
    }

    /// Pending at first; woken from another thread once it was polled.
    async fn woken_by_a_thread() {
        let mut polled = false;
        std::future::poll_fn(|task| {
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            let waker = task.waker().clone();
            std::thread::spawn(move || waker.wake());
            Poll::Pending
        })
        .await;
    }

    #[test]
    fn a_future_is_driven_to_its_end() {
        let (mut cx, sent) = context(park);
        assert_eq!(
            Process::process(&mut Fetch { fail: false }, &mut cx),
            Ok(())
        );
        let sent = sent.lock().unwrap();
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[1], WorkerMessage::Output { value: "2".into() });
    }

    #[test]
    fn its_failure_is_the_jobs() {
        let (mut cx, _) = context(park);
        let failure = Process::process(&mut Fetch { fail: true }, &mut cx).unwrap_err();
        assert_eq!(failure.message(), "invalid digit found in string");
    }

    #[test]
    fn the_links_driver_is_used() {
        thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
        fn counted(future: Pin<&mut dyn Future<Output = ()>>) {
            CALLS.set(CALLS.get() + 1);
            park(future);
        }
        let (mut cx, _) = context(counted);
        assert_eq!(
            Process::process(&mut Fetch { fail: false }, &mut cx),
            Ok(())
        );
        assert_eq!(CALLS.get(), 1);
    }

    #[test]
    #[should_panic(expected = "a driver returns when its future is done")]
    fn a_driver_that_gives_up_is_a_bug() {
        let (mut cx, _) = context(|_| ());
        let _ = Process::process(&mut Fetch { fail: false }, &mut cx);
    }

    #[test]
    fn options_are_adjusted() {
        let mut options = Options::default();
        Process::options(&Fetch { fail: false }, &mut options);
        assert_eq!(options.isolation, Isolation::Exec);
    }

    /// A type with the synchronous contract is not in the way of the asynchronous one's.
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Plain;

    impl Process for Plain {
        fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
            Ok(())
        }
    }

    #[test]
    fn both_contracts_live_side_by_side() {
        fn is_process<T: Process>(_: &T) {}
        is_process(&Plain);
        is_process(&Fetch { fail: false });
    }
}
