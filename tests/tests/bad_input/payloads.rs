//! Payloads and names that do not fit. Nothing of them is stored.

use std::fs;

use dispatcher_tests::Home;
use serde_json::json;

use crate::{COMMANDS, Complaint, Scene, complaint, run, says};

/// Submits something bad beside waiting jobs; answers the complaint.
fn refused(scene: &Scene<'_>, name: &str, payload: &str) -> Complaint {
    complaint(&run(scene.home, &["notifydispatcher", name, payload]), 64)
}

/// Nothing was added, and what was there runs.
fn unharmed(scene: &Scene<'_>) {
    assert_eq!(scene.home.ids(), scene.jobs, "nothing was added");
    scene.nothing_is_lost();
}

#[test]
fn malformed_json() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    for (payload, why) in [
        (r#"{"domain":"#, "EOF"),
        (r#"{"domain":"x"} {}"#, "trailing characters"),
        ("{'domain':'x'}", "key must be a string"),
        ("", "EOF"),
        ("domain=x", "expected value"),
        ("{\"domain\":\"x\u{1}\"}", "control character"),
    ] {
        let complaint = refused(&scene, "RenewCertificate", payload);
        says(&complaint.what, &["is not JSON", "nothing was stored"]);
        says(&complaint.why, &[why, "line 1 column"]);
        says(&complaint.todo, &["single quotes", "@file"]);
    }
    unharmed(&scene);
}

/// A parser that calls itself for each level would need more stack than there is.
#[test]
fn a_million_brackets() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    for payload in [deep.clone(), format!(r#"{{"domain":{deep}}}"#)] {
        let arguments = ["notifydispatcher", "RenewCertificate", "-"];
        let complaint = complaint(&home.output(arguments, payload.as_bytes()), 64);
        complaint.tells(&["nothing was stored"]);
    }
    unharmed(&scene);
}

#[test]
fn text_that_is_not_unicode() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    let bytes = b"{\"domain\":\"\xff\"}";
    let arguments = ["notifydispatcher", "RenewCertificate", "-"];
    let complaint = complaint(&home.output(arguments, bytes), 64);
    says(&complaint.what, &["standard input", "nothing was stored"]);
    says(&complaint.todo, &["UTF-8"]);
    unharmed(&scene);
}

#[test]
fn wrong_fields() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    for (payload, what) in [
        ("{}", "missing field `domain`"),
        (r#"{"domain":5}"#, "expected a string"),
        (r#"{"domain":"x","days":-3}"#, "expected u32"),
        (
            r#"{"domain":"x","dayz":3}"#,
            "unknown field `dayz`, expected `domain` or `days`",
        ),
        (r#"{"domain":"x","domain":"y"}"#, "duplicate field `domain`"),
        ("[]", "RenewCertificate"),
        ("null", "RenewCertificate"),
    ] {
        let complaint = refused(&scene, "RenewCertificate", payload);
        complaint.tells(&["does not fit RenewCertificate", what, "nothing was stored"]);
        says(&complaint.todo, &["`list RenewCertificate`", "fields"]);
    }
    unharmed(&scene);
}

#[test]
fn five_mib() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    let payload = json!({ "domain": "x".repeat(5 * 1024 * 1024) }).to_string();
    let file = home.file("large.json");
    fs::write(&file, &payload).expect("the directory can be written");
    let from_file = format!("@{}", file.display());
    for (argument, input) in [(from_file.as_str(), ""), ("-", payload.as_str())] {
        let arguments = ["notifydispatcher", "RenewCertificate", argument];
        let complaint = complaint(&home.output(arguments, input.as_bytes()), 64);
        says(&complaint.what, &["too large", "nothing was stored"]);
        says(&complaint.why, &["2097152 bytes"]);
        says(&complaint.todo, &["a file", "its name"]);
    }
    unharmed(&scene);
}

#[test]
fn five_mib_through_the_library() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let text = "x".repeat(5 * 1024 * 1024);
    let refused = home
        .try_submit("Record", &json!({ "file": "never", "text": text }))
        .expect_err("it is too large");
    assert_eq!(refused.code, 64);
    says(
        &refused.said,
        &["bytes of JSON", "2097152", "\ntry: put the data in a file"],
    );
    home.submit("Record", &json!({ "file": "small", "text": "x" }));
    home.wait_for("small");
    assert_eq!(home.ids().len(), 1, "the large one left nothing");
}

#[test]
fn input_without_end() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    let mut command = home.command(["notifydispatcher", "RenewCertificate", "-"]);
    let zero = fs::File::open("/dev/zero").expect("there is one");
    let output = command.stdin(zero).output().expect("it starts");
    says(&complaint(&output, 64).what, &["too large"]);
    unharmed(&scene);
}

#[test]
fn a_file_that_is_not_there() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    let complaint = refused(&scene, "RenewCertificate", "@missing.json");
    says(&complaint.what, &["missing.json"]);
    says(&complaint.why, &["No such file"]);
    unharmed(&scene);
}

#[test]
fn unknown_names_with_a_suggestion() {
    let home = &Home::new(COMMANDS);
    let scene = Scene::of(home);
    for (name, suggestion) in [
        ("RenewCertificat", "`RenewCertificate`"),
        ("renewcertificate", "`RenewCertificate`: names are exact"),
        ("certs.renw", "`certs.renew`"),
        ("Nothing like it", "`list`"),
        ("", "`list`"),
    ] {
        let complaint = refused(&scene, name, r#"{"domain":"x"}"#);
        says(&complaint.what, &["no dispatcher is called", name]);
        says(&complaint.why, &["Gated and RenewCertificate"]);
        says(&complaint.todo, &[suggestion]);
    }
    for arguments in [
        &["list", "Gatd"][..],
        &["pause", "Gatd"],
        &["jobs", "--dispatcher", "Gatd"],
        &["output", "--latest", "Gatd"],
    ] {
        let complaint = complaint(&run(scene.home, arguments), 64);
        says(&complaint.what, &["no dispatcher is called `Gatd`"]);
        says(&complaint.todo, &["`Gated`"]);
    }
    unharmed(&scene);
}

#[test]
fn names_before_there_is_a_state() {
    let home = Home::new(COMMANDS);
    let output = run(&home, &["notifydispatcher", "Gatd", "{}"]);
    says(&complaint(&output, 64).todo, &["`Gated`"]);
    assert!(!home.state().exists(), "nothing was made for it");
}
