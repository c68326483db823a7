//! From the bytes of a request to a letter whose sender is known; the cheap checks come first.
//!
//! Nothing is parsed here but headers: a body is bytes until its signature holds, and until then it
//! takes from a common budget as it arrives, so that slow and large ones cost others nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::config::{Key, Settings};
use super::problem::Problem;
use super::signature::Stamp;

/// Bytes that one permit of the budget stands for.
const UNIT: usize = 4096;
/// Permits that are taken at a time.
const BLOCK: usize = 4;

/// A message whose signature holds.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) sender: Arc<Key>,
    pub(super) id: String,
    pub(super) body: Bytes,
    /// Of route and body.
    pub(super) hash: [u8; 32],
}

/// What lets letters in.
#[derive(Debug)]
pub(super) struct Intake {
    settings: Arc<Settings>,
    keys: Vec<(Arc<Key>, Mutex<Bucket>)>,
    /// What bodies of unknown senders may take together.
    budget: Arc<Semaphore>,
}

impl Intake {
    pub(super) fn new(settings: Settings) -> Self {
        let keys = settings.keys.iter();
        let keys = keys.map(|key| (Arc::new(key.clone()), Mutex::new(Bucket::of(key))));
        let units = settings.limits.unknown_bytes.div_ceil(UNIT);
        Self {
            keys: keys.collect(),
            budget: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            settings: Arc::new(settings),
        }
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// A letter that may be acted on, if no other has its id.
    pub(super) async fn receive(
        &self,
        route: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Letter, Problem> {
        self.check_length(headers)?;
        let stamp = stamp(headers).ok_or_else(Problem::unsigned)?;
        let tolerance = self.settings.limits.tolerance.duration().as_secs();
        if !stamp.is_fresh(now(), tolerance) {
            return Err(Problem::unsigned());
        }
        let (body, _held) = self.read(body).await?;
        let signer = self
            .keys
            .iter()
            .find(|(key, _)| stamp.is_signed_with(&key.secret, &body));
        let (sender, bucket) = signer.ok_or_else(Problem::unsigned)?;
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(seconds) = bucket.take(Instant::now()) {
            let detail = format!("the key `{}` sends faster than it may", sender.id);
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", detail);
            return Err(problem.after(seconds));
        }
        Ok(Letter {
            sender: Arc::clone(sender),
            id: stamp.id,
            hash: hash(route, &body),
            body,
        })
    }

    fn check_length(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let declared = headers.get(CONTENT_LENGTH);
        let declared = declared.and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
        let max = self.settings.limits.body_bytes;
        if declared.is_some_and(|declared| declared > max as u64) {
            return Err(over(max));
        }
        Ok(())
    }

    /// Reads a body, bounded in size, in time and together with all others.
    async fn read(&self, body: Body) -> Result<(Bytes, Vec<OwnedSemaphorePermit>), Problem> {
        let time = self.settings.limits.read_timeout.duration();
        timeout(time, self.collect(body)).await.unwrap_or_else(|_| {
            let detail = "the body did not come in time";
            Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "too-slow",
                detail,
            ))
        })
    }

    async fn collect(&self, mut body: Body) -> Result<(Bytes, Vec<OwnedSemaphorePermit>), Problem> {
        let max = self.settings.limits.body_bytes;
        let (mut read, mut held) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::malformed("the body broke off"))?;
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if read.len() + piece.len() > max {
                return Err(over(max));
            }
            while held.len() * BLOCK * UNIT < read.len() + piece.len() {
                held.push(self.take_block()?);
            }
            read.extend_from_slice(&piece);
        }
        Ok((Bytes::from(read), held))
    }

    fn take_block(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let block = u32::try_from(BLOCK).unwrap_or(1);
        let budget = Arc::clone(&self.budget);
        budget
            .try_acquire_many_owned(block)
            .map_err(|_| Problem::later("busy", "too many messages are being read at the moment"))
    }

    /// Whether a token may look at jobs.
    pub(super) fn may_read(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers.get(axum::http::header::AUTHORIZATION);
        let given = given.and_then(|it| it.to_str().ok());
        let given = given.and_then(|it| {
            let (scheme, token) = it.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(given) = given else {
            return Err(Problem::no_token());
        };
        // Compared as hashes, so that the time says nothing about the token.
        let given = Sha256::digest(given);
        let known = self.settings.tokens.iter();
        let known = known.filter(|token| Sha256::digest(token) == given).count();
        if known == 0 {
            return Err(Problem::no_token());
        }
        Ok(())
    }
}

fn over(max: usize) -> Problem {
    Problem::too_large(format!("a body has at most {max} bytes"))
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// The three headers, each there once.
fn stamp(headers: &HeaderMap) -> Option<Stamp> {
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        let first = all.next()?;
        all.next().is_none().then(|| first.as_bytes())
    };
    Stamp::read(
        one("webhook-id")?,
        one("webhook-timestamp")?,
        one("webhook-signature")?,
    )
}

fn hash(route: &str, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(route.as_bytes());
    hash.update([0]);
    hash.update(body);
    hash.finalize().into()
}

/// How fast a sender may be: tokens that come back with time.
#[derive(Debug)]
struct Bucket {
    rate: Option<(f64, f64)>,
    tokens: f64,
    at: Option<Instant>,
}

impl Bucket {
    fn of(key: &Key) -> Self {
        Self {
            rate: key.rate,
            tokens: key.rate.map_or(0.0, |(_, burst)| burst),
            at: None,
        }
    }

    /// Takes one, or says after how many seconds there is one.
    fn take(&mut self, now: Instant) -> Result<(), u64> {
        let Some((rate, burst)) = self.rate else {
            return Ok(());
        };
        let passed = self
            .at
            .map_or(0.0, |at| now.duration_since(at).as_secs_f64());
        self.at = Some(now);
        self.tokens = (self.tokens + passed * rate).min(burst);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = ((1.0 - self.tokens) / rate).ceil();
        // A rate of one message in a year is a rate.
        Err(if wait < 3600.0 { wait as u64 } else { 3600 })
    }
}
