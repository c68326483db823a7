//! What must be so when a storm is over: everything has ended once, as it had to, and nothing is
//! left.

use std::collections::BTreeSet;
use std::time::Instant;

use dispatcher_tests::{HostService, PATIENCE, clear_storm, eventually, pass, said, within};
use serde_json::json;

use super::super::HOSTS;
use super::load::Work;
use super::{Host, Storm};

/// A job that has ended, as the database has it.
struct Ended<'r> {
    id: &'r str,
    state: &'r str,
    cause: &'r str,
    /// Attempts that succeeded.
    successes: &'r str,
}

/// One line for each job that has ended.
const ENDED: &str = "
SELECT r.id, f.state, coalesce(f.outcome, a.outcome)::json->>'cause', (
    SELECT count(*) FROM dispatcher.attempts AS s
    WHERE s.job = f.key AND s.outcome::json->>'cause' = 'succeeded')
FROM dispatcher.finished AS f
JOIN dispatcher.requests AS r ON r.job = f.key
LEFT JOIN dispatcher.attempts AS a ON a.job = f.key AND a.attempt = f.attempt";

impl Storm<'_> {
    /// Lets everything come to its end, and looks at it.
    pub(super) fn look(&mut self) {
        for host in &mut self.hosts {
            if let Some((_, until)) = &host.stands_still {
                pass(until.saturating_duration_since(Instant::now()));
            }
        }
        self.come_back(u32::MAX);
        self.site.home.open_gate(&self.gate());
        self.serve();
        self.looks += 1;
        self.settle();
        assert_eq!(
            self.site.home.read("violations"),
            "",
            "no job runs beside itself"
        );
        self.all_have_ended_once();
        self.counters_are_right();
        self.nobody_left_of_himself();
        for host in &self.hosts {
            let log = host
                .service
                .as_ref()
                .map_or(String::new(), HostService::log);
            assert!(!log.contains("panicked at"), "{}: {log}", host.name);
        }
        clear_storm(&self.site.home);
    }

    /// Waits as long as the number of unfinished jobs falls.
    fn settle(&self) {
        let unfinished = || -> Option<u32> {
            let asked = self.site.try_psql("SELECT count(*) FROM dispatcher.jobs");
            said(&asked.stdout).trim().parse().ok()
        };
        let mut left = eventually("the server answers", PATIENCE, unfinished);
        while left > 0 {
            let fewer = within(PATIENCE, || unfinished().filter(|now| *now < left));
            left = fewer.unwrap_or_else(|| {
                let stuck = "SELECT string_agg(j::text, E'\\n') FROM (
                    SELECT * FROM dispatcher.jobs ORDER BY key LIMIT 5) AS j";
                let runners =
                    "SELECT string_agg((id, pid, open, lease_until - dispatcher.clock())::text,
                    E'\\n') FROM dispatcher.supervisors";
                panic!(
                    "{left} jobs do not end:\n{}\nsupervisors:\n{}",
                    self.site.psql(stuck),
                    self.site.psql(runners)
                )
            });
        }
    }

    fn all_have_ended_once(&mut self) {
        let told = self.site.psql(ENDED);
        let mut seen = BTreeSet::new();
        for line in told.lines() {
            let fields: Vec<&str> = line.split('|').collect();
            let [id, state, cause, successes] = fields[..] else {
                panic!("four columns: {line}");
            };
            let ended = Ended {
                id,
                state,
                cause,
                successes,
            };
            assert!(seen.insert(id.to_owned()), "it has ended twice: {line}");
            if let Some(work) = self.acknowledged.remove(id) {
                self.check(work, &ended);
                let how = format!("{work:?} {cause}");
                *self.tally.ends.entry(how).or_default() += 1;
            }
        }
        let lost = &self.acknowledged;
        assert!(lost.is_empty(), "acknowledged, and not there: {lost:?}");
        self.cancelled.clear();
        self.tally.attempts = self.site.psql(
            "SELECT string_agg(cause || ' ' || count, ', ' ORDER BY cause)
             FROM (SELECT outcome::json->>'cause', count(*) FROM dispatcher.attempts GROUP BY 1)
             AS counted (cause, count)",
        );
    }

    fn check(&self, work: Work, ended: &Ended<'_>) {
        let Ended {
            id,
            state,
            cause,
            successes,
        } = ended;
        let said = format!("{work:?} {id}: {state} {cause}, {successes} successes");
        let succeeded = *state == "2";
        // A cancellation that is acknowledged outweighs a success that comes after it.
        let once = match *state {
            "2" => *successes == "1",
            "4" => matches!(*successes, "0" | "1"),
            _ => *successes == "0",
        };
        assert!(once, "{said}");
        let is_cancelled = self.cancelled.iter().any(|it| it == id);
        assert!(
            !(succeeded && is_cancelled),
            "it was not to succeed: {said}"
        );
        let fits = match (*state, *cause) {
            ("2", "succeeded") => true,
            // Its supervisor was lost more than three times.
            ("3", "worker_lost") => true,
            ("3", "timed_out" | "signalled" | "protocol_error") => work == Work::TimedOut,
            ("4", _) => work == Work::Cancelled,
            _ => false,
        };
        assert!(fits, "{said}");
        // The job itself says that it was done, whatever the database says.
        if succeeded && !matches!(work, Work::ForeignPool | Work::Command | Work::Limited) {
            let file = self.site.home.file(&format!("{id}.finishing"));
            assert!(file.exists(), "nobody did it: {said}");
        }
    }

    /// Nothing waits, nothing runs, and as much has ended as is there.
    fn counters_are_right(&self) {
        let wrong = "
SELECT string_agg(d.name || ' ' || t::text, ', ')
FROM dispatcher.dispatchers AS d, dispatcher.tally(d.id) AS t
WHERE t.waiting <> 0
    OR t.running <> 0
    OR t.finished <> (SELECT count(*) FROM dispatcher.finished AS f WHERE f.dispatcher = d.id)";
        assert_eq!(self.site.psql(wrong), "");
    }

    /// Never more than ten of it, and one at a time.
    pub(super) fn keep_to_limits(&mut self) {
        let beyond = "
SELECT count(*) > 10 OR count(*) FILTER (WHERE state = 1) > 1
FROM dispatcher.jobs
WHERE dispatcher = (SELECT id FROM dispatcher.dispatchers WHERE name = 'Ten')";
        // The server may be away.
        let told = self.site.try_psql(beyond);
        if told.status.success() {
            assert_eq!(said(&told.stdout).trim(), "f");
            self.tally.kept_to_limits += 1;
        }
    }

    /// The last look; then all leave.
    pub(super) fn end(&mut self) {
        self.look();
        self.a_full_queue_is_still_full_at_ten();
        // Whatever may fail while the server is away does not always.
        assert!(self.tally.sent_by_sql > 0 && self.tally.kept_to_limits > 0);
        self.census.take(&self.site.home);
        let services = self.hosts.iter_mut().filter_map(|host| host.service.take());
        services.for_each(HostService::end);
        self.census.nobody_is_left();
        eventually("nobody is left", PATIENCE, || {
            self.site.home.processes().is_empty()
        });
        let rows = "SELECT count(*) FROM dispatcher.supervisors";
        assert_eq!(self.site.psql(rows), "0");
        eprintln!("{} processes seen", self.census.count());
    }

    fn a_full_queue_is_still_full_at_ten(&mut self) {
        self.site.answer(HOSTS[0], &["pause", "Ten"]);
        let senders = HOSTS.map(|host| {
            let arguments = ["submit", "Ten", "5"];
            self.site.start(host, &arguments, &json!({}))
        });
        let told = senders.map(|child| child.wait_with_output().expect("it ends"));
        let stored: usize = told
            .iter()
            .map(|output| said(&output.stdout).lines().count())
            .sum();
        assert_eq!(stored, 10, "{told:?}");
        self.site.answer(HOSTS[1], &["resume", "Ten"]);
        self.settle();
    }
}

/// Its log is of use only when something went wrong.
impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(service) = &self.service
        {
            let log = service.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            eprintln!("end of the log of {}:\n{}", self.name, last.join("\n"));
        }
    }
}
