//! The body shapes of the Laravel package AssetPlan/dispatcher.
//!
//! Who sends is known by the headers, as everywhere: `signature` in the body is passed over, and so
//! is what only describes the batch. PHP writes an empty payload as `[]`, and a list with gaps as an
//! object.
//!
//! Source: `src/Dispatcher.php` and `src/Queue/Job.php` of the package. A batch tells of itself in
//! `payload`, and names its jobs by `name`; elsewhere these stand beside `batch`, and it is `job`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::orders::{BatchOrder, Fields, JobOrder, Wishes, seconds};
use super::problem::Problem;

const DELAY: &str = "seconds, or a time with its offset such as 2026-01-01T00:00:00+00:00";

/// Reads the body of `dispatch`.
pub(super) fn job(body: &[u8], depth_max: usize) -> Result<JobOrder, Problem> {
    let mut fields = Fields::of_body(body, depth_max)?;
    let order = take(&mut fields);
    fields.none_or(order)
}

/// Reads the body of `dispatch/batch`.
pub(super) fn batch(body: &[u8], depth_max: usize, jobs_max: usize) -> Result<BatchOrder, Problem> {
    let mut fields = Fields::of_body(body, depth_max)?;
    let about = fields
        .raw("payload")
        .filter(|raw| raw.get().starts_with('{'));
    let about = about.and_then(|raw| fields.inner(&raw, "/payload"));
    let (should_batch, id) = match about {
        Some(mut about) => {
            let told = (should_batch(&mut about), about.text("batchId"));
            fields.errors.append(&mut about.errors);
            told
        }
        None => (None, None),
    };
    let mut order = BatchOrder {
        queue: fields.text("queue"),
        should_batch: should_batch
            .unwrap_or_else(|| self::should_batch(&mut fields).unwrap_or(true)),
        id: id.or_else(|| fields.text("batchId")),
        ..BatchOrder::default()
    };
    let items = match fields.raw("batch") {
        Some(raw) => items(&raw),
        None => None,
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        fields.wrong("/batch", "takes a list or an object of jobs, at least one");
        return fields.none_or(order);
    };
    if items.len() > jobs_max {
        let detail = format!("{} jobs, more than {jobs_max}", items.len());
        return Err(Problem::too_large(detail));
    }
    for (key, item) in &items {
        let pointer = format!("/batch/{key}");
        let item = unwrapped(item, depth_max)?;
        if let Some(mut inner) = fields.inner(&item, &pointer) {
            order.jobs.push(take(&mut inner));
            fields.errors.append(&mut inner.errors);
        }
    }
    fields.none_or(order)
}

fn take(fields: &mut Fields) -> JobOrder {
    let payload = fields.raw("payload");
    let payload = payload.as_ref().map_or("null", |raw| raw.get());
    let is_empty = payload == "null" || is_empty_list(payload);
    let payload = if is_empty { "{}" } else { payload }.to_owned();
    let name = fields.text("name");
    JobOrder {
        job: name.unwrap_or_else(|| fields.required_text("job")),
        payload,
        wishes: Wishes::of(fields.text("queue"), delay(fields)),
        is_async: true,
        ..JobOrder::default()
    }
}

fn is_empty_list(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.is_some_and(|inner| inner.trim().is_empty())
}

/// Seconds as a number or a text, or the time to begin at.
fn delay(fields: &mut Fields) -> Option<Duration> {
    let read = match fields.value::<Value>("delay", DELAY)? {
        Value::Number(number) => number.as_f64().and_then(seconds),
        Value::String(text) if text.trim().is_empty() => return None,
        Value::String(text) => match text.parse() {
            Ok(number) => seconds(number),
            Err(_) => time_until(&text),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    if read.is_none() {
        fields.misfit("delay", DELAY);
    }
    read
}

/// Nothing when it is over.
fn time_until(text: &str) -> Option<Duration> {
    let left = text
        .parse::<Timestamp>()
        .ok()?
        .duration_since(Timestamp::now());
    seconds(left.as_secs_f64().max(0.0))
}

/// What it says, in one of the ways that PHP has.
fn should_batch(fields: &mut Fields) -> Option<bool> {
    let read = match fields.value::<Value>("shouldBatch", "true or false")? {
        Value::Bool(value) => Some(value),
        Value::Number(number) => number.as_u64().filter(|it| *it < 2).map(|it| it == 1),
        Value::String(text) => match text.as_str() {
            "1" | "true" => Some(true),
            "" | "0" | "false" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    if read.is_none() {
        fields.misfit("shouldBatch", "true or false");
    }
    read
}

/// Jobs with their keys, in the order of a list.
fn items(raw: &RawValue) -> Option<Vec<(String, Box<RawValue>)>> {
    if let Ok(list) = serde_json::from_str::<Vec<Box<RawValue>>>(raw.get()) {
        let list = list.into_iter().enumerate();
        return Some(list.map(|(at, item)| (at.to_string(), item)).collect());
    }
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw.get()).ok()?;
    let mut members: Vec<_> = members.into_iter().collect();
    // "2" comes before "10".
    members.sort_by_key(|(key, _)| key.parse::<u64>().unwrap_or(u64::MAX));
    Some(members)
}

/// A job that comes as a text with JSON in it is that JSON.
fn unwrapped(item: &RawValue, depth_max: usize) -> Result<Box<RawValue>, Problem> {
    let Ok(text) = serde_json::from_str::<String>(item.get()) else {
        return Ok(item.to_owned());
    };
    super::orders::check_depth(text.as_bytes(), depth_max)?;
    RawValue::from_string(text)
        .map_err(|error| Problem::malformed(format!("a job of the batch is no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(body: &str) -> Vec<String> {
        let order = batch(body.as_bytes(), 64, 10).unwrap();
        order.jobs.into_iter().map(|job| job.payload).collect()
    }

    #[test]
    fn jobs_come_with_empty_payloads_and_a_signature() {
        for (payload, read) in [
            ("[]", "{}"),
            ("[ ]", "{}"),
            ("null", "{}"),
            ("{}", "{}"),
            ("[1]", "[1]"),
            (r#"{"a":1.0}"#, r#"{"a":1.0}"#),
        ] {
            let body = format!(
                r#"{{"job":"A","payload":{payload},"signature":"$2y$10$x","queue":"mail","more":1}}"#
            );
            let order = job(body.as_bytes(), 64).unwrap();
            assert_eq!((order.job.as_str(), order.payload.as_str()), ("A", read));
            assert_eq!(order.wishes.queue.as_deref(), Some("mail"));
        }
        assert_eq!(
            job(br#"{"job":"A","queue":null}"#, 64).unwrap().payload,
            "{}"
        );
    }

    #[test]
    fn batches_are_lists_or_objects_of_objects_or_texts() {
        for body in [
            r#"{"batch":[{"job":"A","payload":1},{"job":"A","payload":2}]}"#,
            r#"{"batch":{"0":{"job":"A","payload":1},"3":{"job":"A","payload":2}}}"#,
            r#"{"batch":{"10":{"job":"A","payload":2},"2":{"job":"A","payload":1}}}"#,
            r#"{"batch":["{\"job\":\"A\",\"payload\":1}",{"job":"A","payload":2}],"batchSize":7}"#,
        ] {
            assert_eq!(payloads(body), ["1", "2"], "{body}");
        }
        for body in [
            "{}",
            r#"{"batch":[]}"#,
            r#"{"batch":{}}"#,
            r#"{"batch":7}"#,
            r#"{"batch":[7]}"#,
        ] {
            assert!(batch(body.as_bytes(), 64, 10).is_err(), "{body}");
        }
        assert!(batch(br#"{"batch":["{"]}"#, 64, 10).is_err());
        assert!(
            batch(br#"{"batch":["[[[[[]]]]]"]}"#, 4, 10).is_err(),
            "depth counts in texts"
        );
    }

    #[test]
    fn a_batch_tells_of_itself_in_its_payload_or_beside_its_jobs() {
        let of_package = br#"{"job":"b-1","signature":"x","queue":"mail",
            "payload":{"batchId":"b-1","shouldBatch":false,"batchSize":1,"createdAt":"2026"},
            "batch":[{"name":"A","payload":{"a":1},"delay":null}]}"#;
        let beside = br#"{"batchId":"b-1","shouldBatch":false,"queue":"mail",
            "batch":[{"job":"A","payload":{"a":1}}]}"#;
        for body in [of_package.as_slice(), beside] {
            let order = batch(body, 64, 10).unwrap();
            assert_eq!(
                (order.should_batch, order.id.as_deref()),
                (false, Some("b-1"))
            );
            assert_eq!(order.queue.as_deref(), Some("mail"));
            assert_eq!(
                (order.jobs[0].job.as_str(), order.jobs[0].payload.as_str()),
                ("A", r#"{"a":1}"#)
            );
        }
        let nameless = batch(br#"{"payload":[],"batch":[{"payload":{}}]}"#, 64, 10);
        assert!(format!("{:?}", nameless.unwrap_err()).contains("/batch/0/job"));
    }

    #[test]
    fn a_delay_is_seconds_or_a_time() {
        let delay = |value: &str| {
            let body = format!(r#"{{"job":"A","delay":{value}}}"#);
            let mut options = dispatcher_core::Options::default();
            let order = job(body.as_bytes(), 64).map_err(|problem| format!("{problem:?}"))?;
            order.wishes.apply(&mut options);
            Ok::<_, String>(options.delay)
        };
        for none in ["null", "\"\"", "\" \""] {
            assert_eq!(delay(none).unwrap(), None, "{none}");
        }
        for (value, read) in [("120", 120), ("\"120\"", 120), ("0", 0)] {
            assert_eq!(
                delay(value).unwrap(),
                Some(Duration::from_secs(read)),
                "{value}"
            );
        }
        let before = "\"2026-01-01T00:00:00+00:00\"";
        assert_eq!(delay(before).unwrap(), Some(Duration::ZERO));
        let hour = Timestamp::now() + Duration::from_secs(3600);
        let left = delay(&format!("\"{hour}\"")).unwrap().unwrap();
        assert!((3500..=3600).contains(&left.as_secs()), "{left:?}");
        for wrong in [
            "-1",
            "\"tomorrow\"",
            "true",
            "[]",
            "1e300",
            "\"2026-01-01T00:00:00\"",
        ] {
            assert!(delay(wrong).unwrap_err().contains("/delay"), "{wrong}");
        }
    }

    #[test]
    fn should_batch_in_every_spelling() {
        for (value, read) in [
            ("true", true),
            ("1", true),
            ("\"1\"", true),
            ("\"true\"", true),
            ("null", true),
            ("false", false),
            ("0", false),
            ("\"0\"", false),
            ("\"\"", false),
            ("\"false\"", false),
        ] {
            let body =
                format!(r#"{{"shouldBatch":{value},"batchId":"b","batch":[{{"job":"A"}}]}}"#);
            let order = batch(body.as_bytes(), 64, 10).unwrap();
            assert_eq!(
                (order.should_batch, order.id.as_deref()),
                (read, Some("b")),
                "{value}"
            );
        }
        assert!(batch(br#"{"shouldBatch":7,"batch":[{"job":"A"}]}"#, 64, 10).is_err());
    }
}
