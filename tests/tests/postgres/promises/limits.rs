//! Promises 6, 7, 10 and 12: what a dispatcher allows holds for all hosts together, whichever way a
//! job comes.

use std::collections::BTreeSet;

use dispatcher_tests::{PATIENCE, Way, eventually, said, stored_and_refused};
use serde_json::{Value, json};

use super::super::{HOSTS, Site};

#[test]
fn every_run_of_any_host_counts() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    let stored = || site.count(0) + site.count(1);
    let long = json!({ "gate": "gate", "options": { "timeout": 60_000 } });
    let mut waiting = Vec::new();
    for (at, way) in (1..).zip([Way::Run, Way::Notify, Way::Detach]) {
        waiting.push(site.start(HOSTS[at as usize - 1], &way.words("Three"), &long));
        eventually("it is stored", PATIENCE, || stored() == at);
    }
    for (way, host) in Way::ALL
        .iter()
        .flat_map(|way| HOSTS.map(|host| (*way, host)))
    {
        let output = site
            .start(host, &way.words("Three"), &long)
            .wait_with_output();
        let output = output.expect("it ends");
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{way:?}, {host}: {text}");
        assert!(text.contains("the queue of Three is full"), "{text}");
    }
    let by_sql = site.try_psql("SELECT dispatcher.enqueue('Three', '{}')");
    assert!(said(&by_sql.stderr).contains("the queue of Three is full"));
    assert_eq!(stored(), 3, "what was refused is not stored");
    site.home.open_gate("gate");
    for child in waiting {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:#?}");
    }
    site.all_succeed(3);
    // A second each, one after the other.
    let never = json!({ "gate": "never" });
    let ways = [(Way::Spawn, 0), (Way::Notify, 124), (Way::Detach, 0)];
    let children = ways.into_iter().zip(HOSTS);
    let children: Vec<_> = children
        .map(|((way, code), host)| (site.start(host, &way.words("Three"), &never), code))
        .collect();
    for (child, code) in children {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{output:#?}");
    }
    eventually("they end", PATIENCE, || site.count(3) == 3);
    assert_eq!(site.home.read("violations"), "");
    let timed_out = "SELECT count(*) FROM dispatcher.attempts
        WHERE outcome::json->>'cause' = 'timed_out'";
    assert_eq!(site.psql(timed_out), "3");
}

/// Three services follow the schedule, and so does a timer on each of the hosts.
#[test]
fn a_tick_is_run_once_over_all_hosts() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    site.answer("one", &["schedule", "tick"]);
    for round in 1..=2_u32 {
        // As if nobody had looked for more than a year.
        let settled = "UPDATE dispatcher.schedules
            SET record = jsonb_set(record::jsonb, '{settled}', jsonb_build_array(
                jsonb_build_array(at.then, at.then)))::text
            FROM (SELECT dispatcher.clock() - 400::bigint * 24 * 3600000 AS then) AS at
            WHERE dispatcher = (SELECT id FROM dispatcher.dispatchers WHERE name = 'Yearly')
            RETURNING 1";
        assert_eq!(site.psql(settled), "1");
        let tick = &["schedule", "tick", "--json"];
        let timers = HOSTS.iter().cycle().take(12);
        let timers: Vec<_> = timers
            .map(|host| site.start(host, tick, &Value::Null))
            .collect();
        for timer in timers {
            let output = timer.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{}", said(&output.stderr));
        }
        site.all_succeed(round);
        let all = "SELECT count(*) FROM dispatcher.everything";
        assert_eq!(site.psql(all), round.to_string());
        assert_eq!(site.home.read("yearly").lines().count(), round as usize);
    }
}

#[test]
fn fifty_processes_of_three_hosts_keep_to_the_limit() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    let payload = json!({ "gate": "gate" });
    let children = HOSTS.iter().cycle().take(50);
    let children: Vec<_> = children
        .map(|host| site.start(host, &["submit", "Ten"], &payload))
        .collect();
    assert_eq!(stored_and_refused(children, "Ten"), (10, 40));
    site.home.open_gate("gate");
    site.all_succeed(10);
}

#[test]
fn spellings_of_all_hosts_are_one_dispatcher() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    let spellings = ["Exclusive", "tests.exclusive", "App\\Exclusive"];
    let payload = json!({ "name": "x", "run_ms": 5 }).to_string();
    let mut children = Vec::new();
    for (host, name) in HOSTS.iter().flat_map(|host| spellings.map(|it| (host, it))) {
        let arguments = ["notifydispatcher", name, &payload];
        children.push(site.start(host, &arguments, &Value::Null));
        site.psql(&format!("SELECT dispatcher.enqueue('{name}', '{payload}')"));
    }
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:#?}");
    }
    site.all_succeed(18);
    let names = "SELECT string_agg(DISTINCT d.name, ' ') FROM dispatcher.finished AS f
        JOIN dispatcher.dispatchers AS d ON d.id = f.dispatcher";
    assert_eq!(site.psql(names), "Exclusive");
    for name in [
        "exclusive",
        "Exclusive ",
        "TESTS.exclusive",
        "App/Exclusive",
        "",
    ] {
        for host in HOSTS {
            let output = site
                .command(host, &["notifydispatcher", name, &payload])
                .output();
            let output = output.expect("the program starts");
            assert_eq!(output.status.code(), Some(64), "{name:?}: {output:#?}");
        }
        let sent = format!("SELECT dispatcher.enqueue('{name}', '{payload}')");
        let output = site.try_psql(&sent);
        let text = said(&output.stderr);
        assert!(text.contains("no dispatcher is called"), "{name:?}: {text}");
    }
    assert_eq!(site.count(2), 18);
}

#[test]
fn refused_means_unchanged() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    let payload = json!({ "gate": "gate" });
    site.submit("one", "Ten", &payload, 10);
    eventually("one runs", PATIENCE, || site.count(1) == 1);
    site.home.wait_for("alone.lock");
    // Whoever sends for the first time on a host makes its files.
    for host in HOSTS {
        let json = r#"{"line": "true"}"#;
        site.answer(host, &["notifydispatcher", "Shell", json]);
    }
    let state = || -> BTreeSet<String> {
        let rows = rows(&site).into_iter();
        let files = site.home.files().into_iter();
        rows.chain(files.map(|it| it.display().to_string()))
            .collect()
    };
    let before = state();
    for host in HOSTS.iter().cycle().take(6) {
        let child = site.start(host, &["submit", "Ten"], &payload);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(69), "{output:#?}");
        let by_sql = site.try_psql("SELECT dispatcher.enqueue('Ten', '{}')");
        assert!(!by_sql.status.success());
    }
    let after = state();
    let changed: Vec<&String> = before.symmetric_difference(&after).collect();
    assert_eq!(changed, [""; 0]);
    site.home.open_gate("gate");
    site.all_succeed(13);
}

/// All that a job is made of, as text: supervisors renew their leases, and counters are added up.
fn rows(site: &Site<'_>) -> Vec<String> {
    let tables =
        "dispatchers lanes jobs requests finished outputs attempts captures unsettled schedules";
    let mut rows = Vec::new();
    for table in tables.split(' ') {
        let all = site.psql(&format!("SELECT t::text FROM dispatcher.{table} AS t"));
        rows.extend(all.lines().map(|row| format!("{table}: {row}")));
    }
    rows.push(site.psql(
        "SELECT string_agg(name || ' ' || waiting || ' ' || running || ' ' || finished, ', ' ORDER BY name)
         FROM dispatcher.dispatchers, dispatcher.tally(id)",
    ));
    rows
}
