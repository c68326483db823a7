//! What a job writes, while it writes it: server-sent events.
//!
//! An event `stdout` or `stderr` has a piece of that stream as JSON text, `attempt` says that
//! another one begins, and `end` has the job's state; then the stream ends. Bytes that are no UTF-8
//! are replaced, and a letter that is cut by two pieces is kept for the second.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response};
use dispatcher_core::JobId;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep};

use super::desk::blocking;
use super::problem::Problem;
use crate::client::{Gate, Stage};

/// Time between two looks at what was written.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A line that nobody reads, so that nobody in between hangs up.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Events that wait for a slow reader; then nothing more is read for him.
const EVENTS_MAX: usize = 16;

/// The answer that follows a job from an attempt on; ends when `over` says so.
pub(super) fn follow(
    gate: Gate,
    job: JobId,
    attempt: u32,
    over: impl Fn() -> bool + Send + 'static,
) -> Response<Body> {
    let (events, told) = channel(EVENTS_MAX);
    tokio::spawn(async move {
        let following = Following {
            gate,
            job,
            events,
            said: Instant::now(),
        };
        following.run(attempt, over).await;
    });
    let mut answer = Response::new(Body::new(Stream(told)));
    let headers = answer.headers_mut();
    let text = HeaderValue::from_static;
    headers.insert(CONTENT_TYPE, text("text/event-stream"));
    headers.insert(CACHE_CONTROL, text("no-store"));
    answer
}

struct Following {
    gate: Gate,
    job: JobId,
    events: Sender<Bytes>,
    said: Instant,
}

/// Nobody listens any more, or there is nothing to tell.
struct Over;

impl Following {
    async fn run(mut self, attempt: u32, over: impl Fn() -> bool) {
        let _: Result<(), Over> = self.attempts(attempt.max(1), over).await;
    }

    async fn attempts(&mut self, mut attempt: u32, over: impl Fn() -> bool) -> Result<(), Over> {
        let mut log = self.gate.live_log(self.job, attempt);
        self.say("attempt", &json!(attempt)).await?;
        while !over() {
            // The job first: what it wrote before that look is read after it.
            let (gate, job) = (self.gate.clone(), self.job);
            let looked = blocking(move || {
                let record = super::acts::job_record(&gate, job)?;
                let is_recorded = record.attempts.iter().any(|it| it.attempt == attempt);
                let newest = record.summary.counters.attempt;
                let is_past = is_recorded || record.summary.state.is_terminal() || newest > attempt;
                let stage = if is_past { Stage::Over } else { Stage::Running };
                let pieces = log.read(&gate, stage);
                let pieces = pieces.map_err(|error| Problem::of(&error, ""))?;
                Ok((log, pieces, record.summary.state, newest, is_past))
            });
            let Ok((same, pieces, state, newest, is_past)) = looked.await else {
                return Err(Over);
            };
            log = same;
            for (stream, text) in pieces {
                self.say(stream, &json!(text)).await?;
            }
            if is_past && newest > attempt {
                attempt += 1;
                log = self.gate.live_log(self.job, attempt);
                self.say("attempt", &json!(attempt)).await?;
                continue;
            }
            if state.is_terminal() {
                return self.say("end", &json!(state)).await;
            }
            if self.said.elapsed() >= ALIVE_EVERY {
                self.send(Bytes::from_static(b": still there\n\n")).await?;
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn say(&mut self, event: &str, data: &Value) -> Result<(), Over> {
        // JSON has no line ends of its own.
        let text = format!("event: {event}\ndata: {data}\n\n");
        self.send(Bytes::from(text)).await
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Over> {
        self.said = Instant::now();
        self.events.send(bytes).await.map_err(|_| Over)
    }
}

/// Events as a body.
struct Stream(Receiver<Bytes>);

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|it| Ok(Frame::data(it))))
    }
}
