//! The last good copy stays readable, typed and by command, whatever the fetches after it do.

use serde_json::{Value, json};

use crate::peers::{Peer, Reply};
use crate::support::{Program, text};

struct Site {
    program: Program,
    peer: Peer,
}

impl Site {
    fn run(&self, words: &[&str]) -> (i32, String) {
        let mut command = self.program.command(words);
        let output = command.env("RATES_FROM", &self.peer.address).output();
        let output = output.expect("the example can be started");
        let code = output.status.code().expect("no signal ends it");
        (code, text(output.stdout))
    }

    /// What is read, typed through the library, and by the command.
    fn copy(&self) -> (String, Value) {
        let (code, typed) = self.run(&["rates"]);
        assert_eq!(code, 0, "{typed}");
        let (code, raw) = self.run(&["output", "--latest", "FetchRates"]);
        assert_eq!(code, 0, "{raw}");
        let raw = serde_json::from_str(&raw).unwrap_or_else(|error| panic!("{error}: {raw}"));
        (typed, raw)
    }
}

#[test]
fn a_failing_fetch_leaves_the_last_good_copy() {
    let site = Site {
        program: Program::new(env!("CARGO_BIN_EXE_hourly_fetch")),
        peer: Peer::new([Reply::ok(r#"{"CHF": 0.95, "USD": 1.1}"#)]),
    };
    assert_eq!(
        site.run(&["rates"]),
        (1, "nothing was fetched yet\n".to_owned())
    );
    assert_eq!(site.run(&["output", "--latest", "FetchRates"]).0, 1);
    assert_eq!(site.run(&["now"]), (0, "fetched\n".to_owned()));
    let good = (
        "CHF 0.95\nUSD 1.10\n".to_owned(),
        json!({ "CHF": 0.95, "USD": 1.1 }),
    );
    assert_eq!(site.copy(), good);

    for (bad, why) in [
        (Reply::status("500 Internal Server Error"), "answered"),
        (Reply::HangUp, "no HTTP"),
        (Reply::ok("<html>"), "expected value"),
        (Reply::ok(r#"{"CHF": "many"}"#), "invalid type"),
        (Reply::ok("{}"), "no rates"),
        (Reply::status("304 Not Modified"), "304"),
    ] {
        let told = format!("{bad:?}");
        site.peer.goes_on_with(bad);
        let (code, said) = site.run(&["now"]);
        assert_eq!(code, 1, "{told}: {said}");
        assert!(said.starts_with("the last copy stays: it failed"), "{said}");
        assert!(said.contains(why), "{told}: {said}");
        assert_eq!(site.copy(), good, "{told}");
    }
    let failed = site.program.json(&["jobs", "--state", "failed", "--json"]);
    let failed = failed.as_array().expect("a list");
    assert_eq!(failed.len(), 6);
    assert!(failed.iter().all(|job| job["attempt"] == 2), "one retry");

    // What is over the limits goes; the copy that is still the newest good one stays.
    let file = site.program.folder().join("dispatcher.toml");
    let limits = "version = 1\n[store.retention]\ncount = 0\nage = \"0s\"\n";
    std::fs::write(&file, limits).expect("it can be written");
    site.program
        .says(&["prune", "--config", file.to_str().expect("text")]);
    let left = site.program.json(&["jobs", "--json"]);
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left:#}");
    assert_eq!(site.copy(), good);

    site.peer.goes_on_with(Reply::ok(r#"{"CHF": 0.9}"#));
    assert_eq!(site.run(&["now"]).0, 0);
    assert_eq!(
        site.copy(),
        ("CHF 0.90\n".to_owned(), json!({ "CHF": 0.9 }))
    );
}

/// Its schedule is on record, and what it would submit comes from the environment.
#[test]
fn it_is_scheduled_every_hour() {
    let program = Program::new(env!("CARGO_BIN_EXE_hourly_fetch"));
    let listed = program.says(&["list", "FetchRates"]);
    assert!(listed.contains("hour"), "{listed}");
}
