//! From the JSON of a letter to what it asks for; every misfit is told at once, with its place.
//!
//! A payload stays the text that was sent: only its dispatcher reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher_core::duration::parse_duration;
use dispatcher_core::{Options, suggest};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::{Misfit, Problem};

/// Longest time that can be asked for, in seconds: a hundred years.
pub(super) const SECONDS_MAX: f64 = 3_155_760_000.0;
/// Longest text of a name, a label or a key, in characters.
pub(super) const TEXT_CHARS_MAX: usize = 255;

/// One job, as somebody outside asks for it.
#[derive(Debug, Clone, Default)]
pub(super) struct JobOrder {
    pub(super) job: String,
    /// JSON.
    pub(super) payload: String,
    pub(super) wishes: Wishes,
    /// Answer at once.
    pub(super) is_async: bool,
    pub(super) callback_url: Option<String>,
}

/// Options that somebody outside may set.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    pub(super) queue: Option<String>,
    delay: Option<Duration>,
    priority: Option<i32>,
    timeout: Option<Duration>,
    retries: Option<u32>,
    unique_key: Option<String>,
}

/// Several jobs that come together.
#[derive(Debug, Clone, Default)]
pub(super) struct BatchOrder {
    pub(super) jobs: Vec<JobOrder>,
    pub(super) queue: Option<String>,
    pub(super) should_batch: bool,
    pub(super) id: Option<String>,
    pub(super) on_finished: Option<JobOrder>,
}

/// The keys of a job, and of a batch.
const JOB_KEYS: [&str; 10] = [
    "async",
    "callback_url",
    "delay",
    "job",
    "payload",
    "priority",
    "queue",
    "retries",
    "timeout",
    "unique_key",
];
const BATCH_KEYS: [&str; 5] = ["id", "jobs", "on_finished", "queue", "should_batch"];

impl Wishes {
    pub(super) fn of(queue: Option<String>, delay: Option<Duration>) -> Self {
        Self {
            queue,
            delay,
            ..Self::default()
        }
    }

    /// Sets what is asked for.
    pub(super) fn apply(self, options: &mut Options) {
        options.unique_key = self.unique_key.or(options.unique_key.take());
        if let Some(queue) = self.queue {
            options.queue = queue;
        }
        options.priority = self.priority.unwrap_or(options.priority);
        options.delay = self.delay.or(options.delay);
        options.timeout = self.timeout.or(options.timeout);
        options.retries = self.retries.unwrap_or(options.retries);
    }
}

impl JobOrder {
    /// Reads a body.
    pub(super) fn read(body: &[u8], depth_max: usize) -> Result<Self, Problem> {
        let mut fields = Fields::of_body(body, depth_max)?;
        let order = Self::take(&mut fields, &JOB_KEYS);
        fields.none_or(order)
    }

    fn take(fields: &mut Fields, keys: &[&str]) -> Self {
        fields.check_keys(keys);
        let payload = fields.raw("payload");
        Self {
            job: fields.required_text("job"),
            payload: payload.map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned()),
            wishes: Wishes {
                queue: fields.text("queue"),
                delay: fields.duration("delay"),
                priority: fields.whole("priority", "a whole number"),
                timeout: fields.duration("timeout"),
                retries: fields.whole("retries", "a whole number from 0 on"),
                unique_key: fields.text("unique_key"),
            },
            is_async: fields.value("async", "true or false").unwrap_or(true),
            callback_url: fields.text("callback_url"),
        }
    }
}

impl BatchOrder {
    /// Reads a body.
    pub(super) fn read(body: &[u8], depth_max: usize, jobs_max: usize) -> Result<Self, Problem> {
        let mut fields = Fields::of_body(body, depth_max)?;
        fields.check_keys(&BATCH_KEYS);
        let items = fields.value::<Vec<Box<RawValue>>>("jobs", "a list of jobs");
        let mut order = Self {
            jobs: Vec::new(),
            queue: fields.text("queue"),
            should_batch: fields
                .value("should_batch", "true or false")
                .unwrap_or(true),
            id: fields.text("id"),
            on_finished: None,
        };
        if let Some(finisher) = fields.raw("on_finished")
            && let Some(mut inner) = fields.inner(&finisher, "/on_finished")
        {
            order.on_finished = Some(JobOrder::take(&mut inner, &JOB_KEYS));
            fields.errors.append(&mut inner.errors);
        }
        match items {
            None if fields.errors.iter().any(|it| it.pointer == "/jobs") => {}
            None => fields.wrong("/jobs", "it is missing"),
            Some(items) if items.is_empty() => fields.wrong("/jobs", "it is empty"),
            Some(items) if items.len() > jobs_max => {
                let detail = format!("{} jobs, more than {jobs_max}", items.len());
                return Err(Problem::too_large(detail));
            }
            Some(items) => {
                for (at, item) in items.iter().enumerate() {
                    if let Some(mut inner) = fields.inner(item, &format!("/jobs/{at}")) {
                        order.jobs.push(JobOrder::take(&mut inner, &JOB_KEYS));
                        fields.errors.append(&mut inner.errors);
                    }
                }
            }
        }
        for (at, job) in order.jobs.iter().enumerate() {
            if !job.is_async {
                fields.wrong(format!("/jobs/{at}/async"), "a batch is never waited for");
            }
        }
        fields.none_or(order)
    }
}

/// An `{"action": …, "id": …}`, which must be the one of the route: a signature covers the body,
/// and not the path.
pub(super) fn check_action(
    body: &[u8],
    depth_max: usize,
    action: &str,
    id: &str,
) -> Result<(), Problem> {
    let mut fields = Fields::of_body(body, depth_max)?;
    fields.check_keys(&["action", "id"]);
    for (name, wanted) in [("action", action), ("id", id)] {
        let given = fields.required_text(name);
        if given != wanted && fields.errors.is_empty() {
            fields.wrong(format!("/{name}"), format!("the route says {wanted:?}"));
        }
    }
    fields.none_or(())
}

/// An object, whose values are taken out one after the other.
#[derive(Debug)]
pub(super) struct Fields {
    pointer: String,
    values: BTreeMap<String, Box<RawValue>>,
    pub(super) errors: Vec<Misfit>,
}

impl Fields {
    pub(super) fn of_body(body: &[u8], depth_max: usize) -> Result<Self, Problem> {
        check_depth(body, depth_max)?;
        let value: &RawValue = serde_json::from_slice(body)
            .map_err(|error| Problem::malformed(format!("the body is no JSON: {error}")))?;
        Self::of(value, "").map_err(|misfit| Problem::misfits(vec![misfit]))
    }

    fn of(value: &RawValue, pointer: &str) -> Result<Self, Misfit> {
        let values = serde_json::from_str(value.get()).map_err(|error| Misfit {
            pointer: pointer.to_owned(),
            detail: match value.get().starts_with('{') {
                true => error.to_string(),
                false => "it takes an object".to_owned(),
            },
        })?;
        Ok(Self {
            pointer: pointer.to_owned(),
            values,
            errors: Vec::new(),
        })
    }

    /// An object in it.
    pub(super) fn inner(&mut self, value: &RawValue, pointer: &str) -> Option<Self> {
        match Self::of(value, pointer) {
            Ok(inner) => Some(inner),
            Err(misfit) => {
                self.errors.push(misfit);
                None
            }
        }
    }

    pub(super) fn wrong(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(Misfit {
            pointer: pointer.into(),
            detail: detail.into(),
        });
    }

    /// A value that is none of what its name takes.
    pub(super) fn misfit(&mut self, name: &str, takes: &str) {
        let pointer = format!("{}/{name}", self.pointer);
        self.wrong(pointer, format!("takes {takes}"));
    }

    pub(super) fn none_or<T>(self, value: T) -> Result<T, Problem> {
        if self.errors.is_empty() {
            return Ok(value);
        }
        Err(Problem::misfits(self.errors))
    }

    fn check_keys(&mut self, known: &[&str]) {
        let unknown: Vec<String> = self
            .values
            .keys()
            .filter(|key| !known.contains(&key.as_str()))
            .cloned()
            .collect();
        for key in unknown {
            let detail = match suggest(&key, known.iter().copied()) {
                Some(meant) => format!("unknown key; did you mean `{meant}`?"),
                None => format!("unknown key; known are {}", known.join(", ")),
            };
            let escaped = key.replace('~', "~0").replace('/', "~1");
            self.wrong(format!("{}/{escaped}", self.pointer), detail);
        }
    }

    /// A value as it was written; `null` counts as one.
    pub(super) fn raw(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.values.remove(name)
    }

    /// A value; `null` is none.
    pub(super) fn value<T: DeserializeOwned>(&mut self, name: &str, takes: &str) -> Option<T> {
        let raw = self.raw(name)?;
        match serde_json::from_str::<Option<T>>(raw.get()) {
            Ok(value) => value,
            Err(_) => {
                self.misfit(name, takes);
                None
            }
        }
    }

    /// A whole number; `7.0` is one, as JSON Schema has it.
    fn whole<T: TryFrom<i64>>(&mut self, name: &str, takes: &str) -> Option<T> {
        let number = self.value::<f64>(name, takes)?;
        let is_whole = number.fract() == 0.0 && number.abs() <= f64::from(u32::MAX);
        let whole = is_whole.then_some(number as i64);
        let whole = whole.and_then(|whole| T::try_from(whole).ok());
        if whole.is_none() {
            self.misfit(name, takes);
        }
        whole
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let text = self.value::<String>(name, "a text")?;
        if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX {
            self.misfit(name, &format!("1 to {TEXT_CHARS_MAX} characters of text"));
            return None;
        }
        Some(text)
    }

    pub(super) fn required_text(&mut self, name: &str) -> String {
        let before = self.errors.len();
        match self.text(name) {
            Some(text) => text,
            None if self.errors.len() > before => String::new(),
            None => {
                let pointer = format!("{}/{name}", self.pointer);
                self.wrong(pointer, "it is missing");
                String::new()
            }
        }
    }

    /// Seconds, or a duration as texts.
    fn duration(&mut self, name: &str) -> Option<Duration> {
        let takes = "seconds, or a duration such as \"5m\"";
        let value = self.value::<Value>(name, takes)?;
        let read = match &value {
            Value::Number(number) => number.as_f64().and_then(seconds),
            Value::String(text) => parse_duration(text)
                .ok()
                .filter(|it| it.as_secs_f64() <= SECONDS_MAX),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        if read.is_none() {
            self.misfit(name, takes);
        }
        read
    }
}

/// As long as can be asked for.
pub(super) fn seconds(seconds: f64) -> Option<Duration> {
    let is_fit = (0.0..=SECONDS_MAX).contains(&seconds);
    is_fit.then(|| Duration::from_secs_f64(seconds))
}

/// Looks at nothing but brackets outside of texts, before anything is built from the bytes.
pub(super) fn check_depth(body: &[u8], depth_max: usize) -> Result<(), Problem> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    let detail = format!("the JSON is nested deeper than {depth_max}");
                    return Err(Problem::malformed(detail));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}
