//! Work of every kind, sent by processes on all hosts. Each job holds a kernel lock of its own, or
//! one for all jobs of its dispatcher, so that one that runs beside itself is seen.

use std::fs;
use std::process::Child;

use dispatcher_tests::{Home, said, storm_sections};
use serde_json::{Value, json};

use super::super::HOSTS;
use super::Storm;

/// How a job is done, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    Process,
    Exec,
    OwnPool,
    ForeignPool,
    Command,
    /// Not before its time.
    Delayed,
    /// Succeeds after some failures.
    Failing,
    /// Longer than it may.
    TimedOut,
    /// One at a time on all hosts, and ten at most.
    Limited,
    /// Somebody does not want it any more.
    Cancelled,
    /// Runs until somebody looks, and so through everything that is done to its host.
    Gated,
}

const WORKS: [Work; 10] = [
    Work::Process,
    Work::Exec,
    Work::OwnPool,
    Work::ForeignPool,
    Work::Command,
    Work::Delayed,
    Work::Failing,
    Work::TimedOut,
    Work::Limited,
    Work::Cancelled,
];

/// The shortest that there can be.
pub(super) const LEASE: &str = "5s";

/// Much shorter than what is left of a lease: it ends in time even when nobody can end it.
const LONG_MS: u32 = 1_000;

/// A process that sends jobs.
pub(super) struct Sender {
    child: Child,
    work: Work,
}

impl Work {
    fn dispatcher(self) -> &'static str {
        match self {
            Self::Process
            | Self::Exec
            | Self::Delayed
            | Self::Failing
            | Self::TimedOut
            | Self::Cancelled
            | Self::Gated => "Storm",
            Self::OwnPool => "PooledStorm",
            Self::ForeignPool => "Ask",
            Self::Command => "Run",
            Self::Limited => "Ten",
        }
    }

    fn payload(self, home: &Home, gate: &str, ms: u32) -> Value {
        let slow = json!({ "timeout": 150, "grace": 50, "retries": 0 });
        match self {
            Self::Process | Self::OwnPool => json!({ "ms": ms }),
            Self::Exec => json!({ "ms": ms, "options": { "isolation": "exec" } }),
            Self::Delayed => json!({ "ms": ms, "options": { "delay": 300 } }),
            Self::Failing => json!({ "ms": ms, "fail_until": 2 + ms % 3 }),
            Self::TimedOut => json!({ "ms": LONG_MS, "options": slow }),
            Self::Cancelled => json!({ "ms": LONG_MS }),
            Self::ForeignPool => json!(format!("alone {} {ms}", home.path().display())),
            Self::Command => json!(f64::from(ms) / 1_000.0),
            Self::Limited => json!({}),
            Self::Gated => json!({ "gate": gate }),
        }
    }

    fn jobs(self) -> u32 {
        match self {
            Self::Process
            | Self::Exec
            | Self::OwnPool
            | Self::ForeignPool
            | Self::Command
            | Self::Delayed
            | Self::Failing => 6,
            Self::TimedOut | Self::Cancelled => 2,
            Self::Gated => 1,
            // More than may be waiting, now and then.
            Self::Limited => 7,
        }
    }
}

/// The configuration of all hosts, where everybody looks for it.
pub(super) fn configure(home: &Home) {
    let config = format!(
        "version = 1\n[store]\nlease = \"{LEASE}\"\n\
         [service]\nworkers = 4\ndrain_timeout = \"1s\"\n\
         {}[dispatchers.Ten]\nretries = 1000\nbackoff = \"constant(10ms)\"\n",
        storm_sections(home, "max_jobs = 7")
    );
    let folder = home.file(".config/fixture");
    fs::create_dir_all(&folder).expect("the directory can be written");
    fs::write(folder.join("dispatcher.toml"), config).expect("the directory can be written");
}

impl Storm<'_> {
    /// Somebody on some host begins to send.
    pub(super) fn send(&mut self) -> Sender {
        let (work, host) = (self.random.pick(&WORKS), self.random.pick(&HOSTS));
        self.send_on(host, work)
    }

    /// Somebody begins to send on this host.
    pub(super) fn send_on(&mut self, host: &str, work: Work) -> Sender {
        let payload = work.payload(&self.site.home, &self.gate(), self.random.below(120));
        let (name, jobs) = (work.dispatcher(), work.jobs().to_string());
        let child = match work {
            // Not of the program: it is a section of the configuration.
            Work::ForeignPool | Work::Command => {
                let json = payload.to_string();
                let arguments = ["notifydispatcher", name, &json, "--detach"];
                self.site.start(host, &arguments, &Value::Null)
            }
            Work::Process
            | Work::Exec
            | Work::OwnPool
            | Work::Delayed
            | Work::Failing
            | Work::TimedOut
            | Work::Limited
            | Work::Cancelled
            | Work::Gated => self.site.start(host, &["submit", name, &jobs], &payload),
        };
        Sender { child, work }
    }

    /// What the senders were told; answers with the jobs that are to be cancelled.
    pub(super) fn hear(&mut self, senders: Vec<Sender>) -> Vec<String> {
        let mut to_cancel = Vec::new();
        for Sender { child, work } in senders {
            let output = child.wait_with_output().expect("it ends");
            let text = said(&output.stderr);
            match output.status.code() {
                Some(0) => {}
                Some(69) if work == Work::Limited => self.tally.refused += 1,
                // Lost with its machine, or the server was away for longer than it waits.
                None | Some(74) => self.tally.cut_off += 1,
                Some(_) => panic!("{work:?}: {:?}: {text}", output.status),
            }
            let told = said(&output.stdout);
            self.note(work, &told);
            if work == Work::Cancelled {
                to_cancel.extend(told.lines().map(str::to_owned));
            }
        }
        to_cancel
    }

    /// Somebody on some host does not want a job any more.
    pub(super) fn cancel(&mut self, job: &str) -> Child {
        let host = self.random.pick(&HOSTS);
        self.site.start(host, &["cancel", job], &Value::Null)
    }

    /// What the gated jobs of this part of the storm wait for.
    pub(super) fn gate(&self) -> String {
        format!("calm-{}", self.looks)
    }

    /// Unfinished jobs that wait for the gate; none while the server is away.
    pub(super) fn gated(&self) -> Option<Vec<String>> {
        let gated = "SELECT r.id FROM dispatcher.jobs AS j
            JOIN dispatcher.requests AS r ON r.job = j.key WHERE r.payload LIKE '%calm-%'";
        let asked = self.site.try_psql(gated);
        let ids = || said(&asked.stdout).lines().map(str::to_owned).collect();
        asked.status.success().then(ids)
    }

    /// Sent by SQL; the server may be away.
    pub(super) fn send_by_sql(&mut self) {
        let work = Work::Process;
        let payload = work.payload(&self.site.home, &self.gate(), self.random.below(120));
        let sent = self.site.try_psql(&format!(
            "SELECT id FROM dispatcher.enqueue_many('{}', array_fill('{payload}'::jsonb, ARRAY[4])) \
             AS id",
            work.dispatcher()
        ));
        if sent.status.success() {
            self.tally.sent_by_sql += 1;
            self.note(work, &said(&sent.stdout));
        }
    }

    /// Somebody was told that these are stored.
    fn note(&mut self, work: Work, told: &str) {
        for job in told.lines() {
            *self.tally.acknowledged.entry(work).or_default() += 1;
            self.acknowledged.insert(job.to_owned(), work);
        }
    }
}
