//! An exposition is what was counted, and can be read whatever names there are.

use std::collections::BTreeSet;

use super::*;

fn end(outcome: &'static str, ms: u64, job: JobFate) -> End {
    End {
        outcome,
        run_time: Duration::from_millis(ms),
        job,
    }
}

fn has(page: &str, line: &str) {
    assert!(page.lines().any(|it| it == line), "no {line} in:\n{page}");
}

#[test]
fn an_end_counts_once_it_is_on_record_and_once_only() {
    let metrics = Metrics::new();
    metrics.assigned(1, "A");
    metrics.assigned(2, "A");
    // The store refused the first time.
    metrics.deciding(1, end("failed", 3, JobFate::GoesOn));
    metrics.deciding(1, end("failed", 3, JobFate::GoesOn));
    let page = metrics.exposition(&Gauges::default());
    assert!(!page.contains("outcome="), "{page}");
    metrics.recorded(1);
    metrics.recorded(1);
    metrics.deciding(2, end("succeeded", 2_000, JobFate::Ended));
    metrics.recorded(2);
    metrics.claimed("A", Duration::from_secs(7_200));
    let page = metrics.exposition(&Gauges::default());
    has(
        &page,
        r#"dispatcher_attempts_total{dispatcher="A",outcome="failed"} 1"#,
    );
    has(
        &page,
        r#"dispatcher_attempts_total{dispatcher="A",outcome="succeeded"} 1"#,
    );
    has(
        &page,
        r#"dispatcher_jobs_total{dispatcher="A",outcome="succeeded"} 1"#,
    );
    assert!(!page.contains(r#"jobs_total{dispatcher="A",outcome="failed"}"#));
    let run = "dispatcher_attempt_run_seconds";
    has(
        &page,
        &format!(r#"{run}_bucket{{dispatcher="A",le="0.001"}} 0"#),
    );
    has(
        &page,
        &format!(r#"{run}_bucket{{dispatcher="A",le="0.005"}} 1"#),
    );
    has(
        &page,
        &format!(r#"{run}_bucket{{dispatcher="A",le="5"}} 2"#),
    );
    has(
        &page,
        &format!(r#"{run}_bucket{{dispatcher="A",le="+Inf"}} 2"#),
    );
    has(&page, &format!(r#"{run}_sum{{dispatcher="A"}} 2.003"#));
    has(&page, &format!(r#"{run}_count{{dispatcher="A"}} 2"#));
    let wait = "dispatcher_attempt_wait_seconds";
    has(
        &page,
        &format!(r#"{wait}_bucket{{dispatcher="A",le="3600"}} 0"#),
    );
    has(
        &page,
        &format!(r#"{wait}_bucket{{dispatcher="A",le="+Inf"}} 1"#),
    );
}

#[test]
fn odd_names_are_escaped() {
    let gauges = Gauges {
        queues: vec![("a\"b\\c\nd".to_owned(), 1, 2)],
        sources: vec![SourceReport {
            name: "ticker".to_owned(),
            unhealthy: Some("gone".to_owned()),
            counters: vec![("missed_ticks".to_owned(), 3)],
        }],
        ..Gauges::default()
    };
    let page = Metrics::new().exposition(&gauges);
    has(
        &page,
        r#"dispatcher_jobs_waiting{dispatcher="a\"b\\c\nd"} 1"#,
    );
    has(
        &page,
        r#"dispatcher_jobs_running{dispatcher="a\"b\\c\nd"} 2"#,
    );
    has(&page, r#"dispatcher_source_healthy{source="ticker"} 0"#);
    has(
        &page,
        r#"dispatcher_source_events_total{source="ticker",event="missed_ticks"} 3"#,
    );
}

#[test]
fn the_number_of_labels_is_bounded() {
    let metrics = Metrics::new();
    for at in 0..DISPATCHERS_MAX + 5 {
        metrics.claimed(&format!("D{at:05}"), Duration::ZERO);
    }
    let page = metrics.exposition(&Gauges::default());
    has(
        &page,
        r#"dispatcher_attempt_wait_seconds_count{dispatcher="other"} 5"#,
    );
}

/// Where every metric is explained.
const GUIDE: &str = include_str!("../../../docs/guide/service.md");

#[test]
fn the_guide_explains_every_metric_and_no_other() {
    let page = Metrics::new().exposition(&Gauges::default());
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let told: BTreeSet<_> = families.filter_map(|it| it.split(' ').next()).collect();
    let rows = GUIDE
        .lines()
        .filter(|line| line.starts_with("| `dispatcher_"));
    let names = rows.filter_map(|row| row.split(" | ").next());
    let explained: BTreeSet<_> = names
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert_eq!(told, explained);
}
