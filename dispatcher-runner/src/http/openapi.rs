//! The OpenAPI 3.1 document, made at run time from what this program can do.
//!
//! It promises no more than is checked: what a schema accepts is accepted, as far as the payloads'
//! own types say what they take.

use std::collections::BTreeSet;

use dispatcher_core::{Definition, Registry};
use serde_json::{Map, Value, json};

use super::config::Limits;
use super::orders::{SECONDS_MAX, TEXT_CHARS_MAX};

/// What names a batch.
const BATCH_ID: &str = "^[A-Za-z0-9._:-]{1,128}$";

/// What the document is made of.
pub(super) struct Facts<'a> {
    pub(super) title: &'a str,
    pub(super) registry: &'a Registry,
    pub(super) queues: BTreeSet<String>,
    pub(super) limits: &'a Limits,
    /// Where the routes begin.
    pub(super) prefix: &'a str,
}

impl Facts<'_> {
    pub(super) fn document(&self) -> Value {
        let prefix = self.prefix;
        let servers = if prefix.is_empty() { "/" } else { prefix };
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Jobs over HTTP. Messages are signed as Standard Webhooks v1 has it; \
                                looks take a read token.",
            },
            "servers": [{ "url": servers }],
            "paths": self.paths(),
            "components": {
                "schemas": self.schemas(),
                "parameters": parameters(),
                "responses": responses(),
                "securitySchemes": {
                    "signature": {
                        "type": "http",
                        "scheme": "StandardWebhooks",
                        "description": "Headers webhook-id, webhook-timestamp and \
                                        webhook-signature, as Standard Webhooks v1 has them.",
                    },
                    "token": { "type": "http", "scheme": "bearer" },
                },
            },
        })
    }

    fn paths(&self) -> Value {
        let job = json!([{ "$ref": "#/components/parameters/job" }]);
        let batch = json!([{ "$ref": "#/components/parameters/batch" }]);
        json!({
            "/v1/jobs": { "post": message("sendJob", "Sends a job.", "JobOrder", &[
                ("200", "The job has ended.", "Job"), ("202", "The job is stored.", "Accepted"),
            ]) },
            "/v1/batches": { "post": message("sendBatch", "Sends jobs, all or nothing.", "BatchOrder", &[
                ("202", "The jobs are stored.", "BatchAccepted"),
            ]) },
            "/v1/jobs/{job}": {
                "parameters": job,
                "get": look("getJob", "Where a job stands.", "Job"),
            },
            "/v1/jobs/{job}/output": {
                "parameters": job,
                "get": look("getOutput", "What a job stored.", "Output"),
            },
            "/v1/jobs/{job}/log": {
                "parameters": job,
                "get": with_parameters(look("getLog", "What an attempt wrote.", "Log"), json!([
                    { "name": "attempt", "in": "query", "schema": { "type": "integer", "minimum": 1 } },
                ])),
            },
            "/v1/jobs/{job}/cancel": {
                "parameters": job,
                "post": message("cancelJob", "Cancels a job.", "CancelOrder", &[
                    ("200", "It will not succeed any more.", "Cancelled"),
                ]),
            },
            "/v1/jobs/{job}/retry": {
                "parameters": job,
                "post": message("retryJob", "Sends an ended job once more.", "RetryOrder", &[
                    ("202", "The new job is stored.", "Accepted"),
                ]),
            },
            "/v1/batches/{batch}": {
                "parameters": batch,
                "get": look("getBatch", "Where a batch stands.", "Batch"),
            },
            "/v1/batches/{batch}/cancel": {
                "parameters": batch,
                "post": message("cancelBatch", "Cancels what has not ended.", "CancelOrder", &[
                    ("200", "Done.", "Cancelled"),
                ]),
            },
            "/openapi.json": { "get": look("getOpenApi", "This document.", "Any") },
            "/healthz": { "get": probe("isAlive", "Whether it is there.") },
            "/readyz": { "get": probe("isReady", "Whether it takes jobs.") },
        })
    }

    fn schemas(&self) -> Value {
        let mut all = fixed_schemas();
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        let link = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        for (at, definition) in self.registry.iter().enumerate() {
            let name = format!("Payload{at}");
            let payload = match definition.schema {
                Some(schema) => {
                    all.insert(name.clone(), rooted(schema(), &name));
                    link(&name)
                }
                None => json!({}),
            };
            let (one, many) = (format!("Job{at}"), format!("BatchJob{at}"));
            let choice = or_null(json!({ "type": "boolean" }));
            all.insert(one.clone(), self.job_order(definition, &payload, &choice));
            let never = or_null(json!({ "const": true }));
            all.insert(many.clone(), self.job_order(definition, &payload, &never));
            alone.push(link(&one));
            together.push(link(&many));
        }
        let any = |of: Vec<Value>| match of.is_empty() {
            true => json!(false),
            false => json!({ "oneOf": of }),
        };
        all.insert("JobOrder".to_owned(), any(alone));
        all.insert("BatchJob".to_owned(), any(together));
        all.insert("BatchOrder".to_owned(), self.batch_order());
        Value::Object(all)
    }

    fn queue(&self) -> Value {
        let queues = self.queues.iter().map(|queue| json!(queue));
        json!({ "enum": queues.chain([Value::Null]).collect::<Vec<_>>() })
    }

    /// Jobs that are a batch, which may have one that follows; or jobs that only come together.
    fn batch_order(&self) -> Value {
        let jobs = json!({
            "type": "array",
            "items": { "$ref": "#/components/schemas/BatchJob" },
            "minItems": 1,
            "maxItems": self.limits.batch_jobs,
        });
        let id = or_null(json!({ "type": "string", "pattern": BATCH_ID }));
        let order = |required: Value, own: Value| {
            let mut properties = json!({ "jobs": jobs, "queue": self.queue(), "id": id });
            if let (Value::Object(all), Value::Object(own)) = (&mut properties, own) {
                all.extend(own);
            }
            json!({
                "type": "object",
                "required": required,
                "additionalProperties": false,
                "properties": properties,
            })
        };
        let follower = json!({ "$ref": "#/components/schemas/JobOrder" });
        let batch = json!({ "should_batch": { "const": true }, "on_finished": follower });
        let loose = json!({ "should_batch": { "const": false } });
        json!({
            "oneOf": [
                order(json!(["jobs"]), batch),
                order(json!(["jobs", "should_batch"]), loose),
            ],
        })
    }

    fn job_order(
        &self,
        definition: &'static Definition,
        payload: &Value,
        is_async: &Value,
    ) -> Value {
        let aliases = self.registry.aliases();
        let own = aliases.filter(|(_, it)| it.name == definition.name);
        let names = std::iter::once(definition.name).chain(own.map(|(alias, _)| alias));
        let names: Vec<_> = names.collect();
        let seconds = json!({ "type": "number", "minimum": 0, "maximum": SECONDS_MAX });
        let words = json!({ "type": "string", "pattern": "^[1-9][0-9]{0,2}(s|m|h)$" });
        let time = json!({ "anyOf": [seconds, words, { "type": "null" }] });
        let whole = |min: i64, max: i64| {
            or_null(json!({ "type": "integer", "minimum": min, "maximum": max }))
        };
        let key = json!({ "type": "string", "minLength": 1, "maxLength": TEXT_CHARS_MAX });
        let is_required = !definition.fields.is_empty() && payload.get("$ref").is_some();
        let required = match is_required {
            true => json!(["job", "payload"]),
            false => json!(["job"]),
        };
        json!({
            "type": "object",
            "description": definition.documentation,
            "required": required,
            "additionalProperties": false,
            "properties": {
                "job": { "enum": names },
                "payload": payload,
                "queue": self.queue(),
                "delay": time,
                "timeout": time,
                "priority": whole(i32::MIN.into(), i32::MAX.into()),
                "retries": whole(0, u32::MAX.into()),
                "unique_key": or_null(key),
                "async": is_async,
            },
        })
    }
}

fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// A schema that stands below `components` and no longer at the root of its document.
fn rooted(mut schema: Value, name: &str) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.remove("$schema");
    }
    redirect(&mut schema, &format!("#/components/schemas/{name}/$defs/"));
    schema
}

/// Its own definitions are found where they stand now. A schema is as deep as its type is written.
fn redirect(value: &mut Value, to: &str) {
    match value {
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                if key == "$ref"
                    && let Some(text) = member.as_str()
                    && let Some(rest) = text.strip_prefix("#/$defs/")
                {
                    *member = json!(format!("{to}{rest}"));
                    continue;
                }
                redirect(member, to);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redirect(item, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fixed_schemas() -> Map<String, Value> {
    let id = json!({ "type": "string" });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let told = json!({ "id": id, "status": { "type": "string" } });
    let action = |action: &str| {
        json!({
            "type": "object",
            "required": ["action", "id"],
            "additionalProperties": false,
            "properties": {
                "action": { "const": action },
                "id": { "type": "string", "minLength": 1, "maxLength": TEXT_CHARS_MAX },
            },
        })
    };
    let listed = json!({ "type": "array", "items": { "type": "object" } });
    let schemas = json!({
        "Any": {},
        "Accepted": object(&["id", "status", "job", "duplicate", "status_url"], told.clone()),
        "BatchAccepted": object(&["id", "jobs"], json!({ "id": id, "jobs": listed })),
        "Batch": object(
            &["id", "status", "total", "pending", "processed", "failed", "cancelled", "progress", "jobs"],
            told.clone(),
        ),
        "CancelOrder": action("cancel"),
        "RetryOrder": action("retry"),
        "Cancelled": object(&["id", "status"], told.clone()),
        "Job": object(
            &["id", "status", "job", "queue", "attempt", "submitted_at", "outcome", "attempts", "batch"],
            told.clone(),
        ),
        "Output": object(&["id", "output"], json!({ "id": id })),
        "Log": object(&["id", "attempt", "stdout", "stderr"], json!({ "id": id })),
        "Probe": object(&["status"], json!({ "status": { "type": "string" } })),
        "Problem": object(
            &["type", "title", "status", "detail", "code"],
            json!({
                "status": { "type": "integer" },
                "errors": {
                    "type": "array",
                    "items": object(
                        &["pointer", "detail"],
                        json!({ "pointer": { "type": "string" }, "detail": { "type": "string" } }),
                    ),
                },
            }),
        ),
    });
    match schemas {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn parameters() -> Value {
    let path = |name: &str, pattern: &str| {
        let schema = json!({ "type": "string", "pattern": pattern });
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    };
    json!({
        "job": path("job", "^[0-9a-hjkmnp-tv-z]{16}$"),
        "batch": path("batch", BATCH_ID),
    })
}

/// What may be answered besides a success.
const PROBLEMS: [(&str, &str); 14] = [
    ("400", "No message, or no JSON."),
    ("401", "Nobody who is known here."),
    ("403", "The key may not do this."),
    ("404", "There is no such thing."),
    ("405", "Another method is taken here."),
    ("408", "The body did not come in time."),
    ("409", "It is not possible now, and will not be by waiting."),
    ("413", "Too large."),
    ("415", "Not application/json."),
    ("422", "Values that do not fit; `errors` says which."),
    ("424", "Something that the job needs is not installed."),
    ("429", "Faster than the key may be."),
    ("500", "It failed here."),
    ("503", "Not now; Retry-After says when."),
];

fn responses() -> Value {
    let all = PROBLEMS.map(|(status, description)| {
        let content = json!({
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        });
        let answer = json!({ "description": description, "content": content });
        (format!("Problem{status}"), answer)
    });
    Value::Object(all.into_iter().collect())
}

fn answers(of: &[(&str, &str, &str)]) -> Value {
    let successes = of.iter().map(|(status, description, schema)| {
        let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
        let content = json!({ "application/json": { "schema": schema } });
        let answer = json!({ "description": description, "content": content });
        ((*status).to_owned(), answer)
    });
    let problems = PROBLEMS.iter().map(|(status, _)| {
        let reference = format!("#/components/responses/Problem{status}");
        ((*status).to_owned(), json!({ "$ref": reference }))
    });
    Value::Object(successes.chain(problems).collect())
}

fn message(id: &str, summary: &str, body: &str, of: &[(&str, &str, &str)]) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{body}") });
    json!({
        "operationId": id,
        "summary": summary,
        "security": [{ "signature": [] }],
        "requestBody": { "required": true, "content": { "application/json": { "schema": schema } } },
        "responses": answers(of),
    })
}

fn look(id: &str, summary: &str, schema: &str) -> Value {
    json!({
        "operationId": id,
        "summary": summary,
        "security": [{ "token": [] }],
        "responses": answers(&[("200", "Found.", schema)]),
    })
}

fn probe(id: &str, summary: &str) -> Value {
    json!({
        "operationId": id,
        "summary": summary,
        "security": [],
        "responses": answers(&[("200", "Yes.", "Probe")]),
    })
}

fn with_parameters(mut operation: Value, parameters: Value) -> Value {
    operation["parameters"] = parameters;
    operation
}
