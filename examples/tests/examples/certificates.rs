//! Renewals: arguments, log, output, a retry, one that is not retried, a secret.

use serde_json::Value;

use crate::support::{Program, text};

#[test]
fn certificates_are_renewed_with_log_and_output() {
    let program = Program::new(env!("CARGO_BIN_EXE_certificates"));
    let folder = program.folder();
    let to = folder.to_str().expect("a path of text");
    let done = program.run(&["renew", to, "a b.example", "busy.example", "nodomain"]);
    assert_eq!(
        done.status.code(),
        Some(1),
        "one of them cannot be renewed: {done:?}"
    );
    let said = text(done.stdout);
    assert!(
        said.contains("a b.example: valid until 2027-02-01"),
        "{said}"
    );
    assert!(
        said.contains("busy.example: valid until 2027-02-01"),
        "{said}"
    );
    assert!(
        said.contains("nodomain: failed and asked not to be retried"),
        "{said}"
    );
    let file = folder.join("a b.example.pem");
    let written = std::fs::read_to_string(&file).expect("it was written");
    assert_eq!(written, "certificate of a b.example\n");

    let job = |domain: &str| -> (String, Value) {
        let search = format!("domain={domain}");
        let ids = program.says(&["jobs", "--search", &search, "--ids"]);
        let id = ids.trim().to_owned();
        let job = program.json(&["show", &id, "--json"]);
        (id, job)
    };
    let (id, job_of_plain) = job("a b.example");
    assert_eq!(job_of_plain["output"]["file"], file.to_str().expect("text"));
    let log = program.says(&["logs", &id]);
    assert!(
        log.starts_with("renewing a b.example, attempt 1\n"),
        "{log}"
    );
    let attempts = |job: &Value| job["attempts"].as_array().map(Vec::len);
    assert_eq!(attempts(&job_of_plain), Some(1));
    assert_eq!(attempts(&job("busy.example").1), Some(2));
    assert_eq!(attempts(&job("nodomain").1), Some(1));
}

#[test]
fn the_token_is_never_shown() {
    let program = Program::new(env!("CARGO_BIN_EXE_certificates"));
    let folder = program.folder();
    program.says(&["renew", folder.to_str().expect("text"), "a.example"]);
    for arguments in [
        &["jobs"][..],
        &["jobs", "--json"],
        &["list", "RenewCertificate"],
    ] {
        let said = program.says(arguments);
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert!(program.says(&["jobs", "--json"]).contains("***"));
}

#[test]
fn its_alias_is_a_name_too() {
    let program = Program::new(env!("CARGO_BIN_EXE_certificates"));
    let folder = program.folder();
    let payload = serde_json::json!({ "domain": "c.example", "folder": folder, "token": "t" });
    program.says(&["notifydispatcher", "certs.renew", &payload.to_string()]);
    assert!(folder.join("c.example.pem").exists());
}
