//! The application over real HTTP: accepted, waited for, refused, not there, and in force.

use serde_json::{Value, json};

use crate::support::{Answer, Program, Server, eventually, http};

struct Application {
    program: Program,
    server: Server,
}

impl Application {
    fn start() -> Self {
        let program = Program::new(env!("CARGO_BIN_EXE_apply_server"));
        let server = Self::serve(&program);
        Self { program, server }
    }

    fn serve(program: &Program) -> Server {
        let folder = program.folder();
        program.serve(&["--port", "0", "--folder", folder.to_str().expect("text")])
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        let request = format!("POST {path}");
        http(&self.server.address, &request, &body.to_string()).expect("it answers")
    }

    fn state(&self) -> Value {
        let answer = http(&self.server.address, "GET /apply", "").expect("it answers");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

#[test]
fn settings_are_in_force_after_the_last_apply_succeeded() {
    let mut application = Application::start();
    assert_eq!(
        application.state(),
        json!({ "applied": false, "job": null })
    );

    let good = json!({ "settings": { "hostname": "a" }, "step_ms": 500 });
    let accepted = application.post("/apply", &good);
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let id = accepted.json()["id"].clone();
    let state = application.state();
    assert_eq!(
        (&state["applied"], &state["job"]["id"]),
        (&json!(false), &id)
    );
    eventually("the settings to be in force", || {
        let state = application.state();
        assert_eq!(state["job"]["id"], id);
        (state["applied"] == true).then_some(())
    });
    let file = application.program.folder().join("settings.json");
    let settings: Value = serde_json::from_slice(&std::fs::read(file).expect("written")).unwrap();
    assert_eq!(settings, json!({ "hostname": "a" }));

    // Another one that fails: what is wanted is not in force.
    let bad = json!({ "settings": { "hostname": "" } });
    let waited = application.post("/apply?async=false", &bad);
    assert_eq!(waited.status, 500, "{waited:?}");
    assert!(waited.body.contains("hostname is empty"), "{waited:?}");
    assert_eq!(application.state()["applied"], false);

    let waited = application.post("/apply?async=false", &good);
    assert_eq!(
        (waited.status, &waited.json()["state"]),
        (200, &json!("succeeded"))
    );
    assert_eq!(application.state()["applied"], true);

    // A new server knows it from the store.
    application.server = Application::serve(&application.program);
    assert_eq!(application.state()["applied"], true);
}

#[test]
fn a_full_queue_and_a_missing_program_have_answers_of_their_own() {
    let application = Application::start();
    let slow = |name: &str| json!({ "settings": { "name": name }, "step_ms": 1000 });
    for name in ["a", "b"] {
        assert_eq!(application.post("/apply", &slow(name)).status, 202);
    }
    let refused = application.post("/apply", &slow("c"));
    assert_eq!(refused.status, 503, "{refused:?}");
    let after: u64 = refused
        .header("retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or_else(|| panic!("{refused:?}"));
    assert!(after >= 1);

    let needy = json!({ "settings": {}, "requires": ["no-such-program-7f3a"] });
    let refused = application.post("/apply", &needy);
    assert_eq!(refused.status, 424, "{refused:?}");
    assert!(refused.body.contains("no-such-program-7f3a"), "{refused:?}");

    let nonsense = application.post("/apply", &json!({ "setings": {} }));
    assert_eq!(nonsense.status, 422, "{nonsense:?}");
}
