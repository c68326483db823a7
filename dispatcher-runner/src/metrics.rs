//! What a service counts, and how it is written for Prometheus (text exposition 0.0.4).
//!
//! Counting never waits and takes bounded room: labels are names of dispatchers, pools, sources and
//! causes, of which there are few; a dispatcher beyond [`DISPATCHERS_MAX`] is counted as `other`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(test)]
mod tests;

/// Names of dispatchers that are told apart.
const DISPATCHERS_MAX: usize = 1_000;
const OTHER: &str = "other";

/// Upper ends of the buckets of run and wait times, in seconds.
const JOB_SECONDS: [f64; 12] = [
    0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0,
];
/// Those of a transaction's time.
const STORE_SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// Counters of a service, from its start.
#[derive(Debug)]
pub(crate) struct Metrics {
    started: SystemTime,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    dispatchers: BTreeMap<String, OfDispatcher>,
    /// Attempts whose end is not on record yet, by worker: dispatcher, and the end if there is one.
    open: BTreeMap<u32, (String, Option<End>)>,
    store: Histogram,
    ticks: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
struct OfDispatcher {
    attempts: BTreeMap<&'static str, u64>,
    jobs: BTreeMap<&'static str, u64>,
    run: Histogram,
    wait: Histogram,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// Name of the cause.
    pub(crate) outcome: &'static str,
    pub(crate) run_time: Duration,
    pub(crate) job: JobFate,
}

/// What an attempt's end means for its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobFate {
    /// It has ended, too.
    Ended,
    /// It is queued again.
    GoesOn,
}

#[derive(Debug, Default, Clone)]
struct Histogram {
    /// Observations in each bucket, not cumulated; those beyond the last are in `count` only.
    buckets: [u64; 12],
    count: u64,
    sum: Duration,
}

/// What is looked up when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) program: String,
    pub(crate) build: String,
    /// Whether work is taken.
    pub(crate) serving: bool,
    pub(crate) slots: u32,
    /// Jobs of the state by dispatcher: waiting, running.
    pub(crate) queues: Vec<(String, u32, u32)>,
    /// Age of the job that has waited longest.
    pub(crate) oldest: Option<Duration>,
    /// Workers by pool and state.
    pub(crate) workers: BTreeMap<(String, &'static str), u64>,
    pub(crate) pools: Vec<PoolGauge>,
    pub(crate) sources: Vec<SourceReport>,
}

/// What a pool does now.
#[derive(Debug)]
pub(crate) struct PoolGauge {
    pub(crate) name: String,
    pub(crate) waiting: u64,
    pub(crate) running: u64,
    pub(crate) degraded: bool,
    pub(crate) restarts: BTreeMap<&'static str, u64>,
}

/// What a source says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceReport {
    pub(crate) name: String,
    /// Why it does not run.
    pub(crate) unhealthy: Option<String>,
    /// Its counters by name, `missed_ticks` among them.
    pub(crate) counters: Vec<(String, u64)>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            started: SystemTime::now(),
            counted: Mutex::default(),
        }
    }

    /// An attempt was begun this long after its job was due.
    pub(crate) fn claimed(&self, dispatcher: &str, waited: Duration) {
        self.lock()
            .of(dispatcher)
            .wait
            .observe(waited, &JOB_SECONDS);
    }

    /// A worker is to be started for a job.
    pub(crate) fn assigned(&self, worker: u32, dispatcher: &str) {
        let attempt = (dispatcher.to_owned(), None);
        self.lock().open.insert(worker, attempt);
    }

    /// What is about to be recorded of its attempt; told again when the store refused it.
    pub(crate) fn deciding(&self, worker: u32, end: End) {
        let mut counted = self.lock();
        let unknown = || (OTHER.to_owned(), None);
        counted.open.entry(worker).or_insert_with(unknown).1 = Some(end);
    }

    /// It is on record.
    pub(crate) fn recorded(&self, worker: u32) {
        let mut counted = self.lock();
        let Some((dispatcher, Some(end))) = counted.open.remove(&worker) else {
            return;
        };
        let of = counted.of(&dispatcher);
        *of.attempts.entry(end.outcome).or_default() += 1;
        of.run.observe(end.run_time, &JOB_SECONDS);
        match end.job {
            JobFate::Ended => *of.jobs.entry(end.outcome).or_default() += 1,
            JobFate::GoesOn => {}
        }
    }

    /// A transaction of the supervisor took this long.
    pub(crate) fn stored(&self, time: Duration) {
        self.lock().store.observe(time, &STORE_SECONDS);
    }

    /// A tick of a schedule was decided.
    pub(crate) fn ticked(&self, fate: &'static str) {
        *self.lock().ticks.entry(fate).or_default() += 1;
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn exposition(&self, gauges: &Gauges) -> String {
        let mut page = Page::default();
        page.about_the_service(gauges, self.started);
        self.lock().write(&mut page);
        page.about_the_state(gauges);
        page.about_pools(gauges);
        page.about_sources(gauges);
        page.0
    }

    /// Jobs that ended here, and how many of them were cancelled.
    #[cfg(feature = "service")]
    pub(crate) fn ended(&self) -> (u64, u64) {
        let counted = self.lock();
        let jobs = counted.dispatchers.values().flat_map(|of| &of.jobs);
        jobs.fold((0, 0), |(ended, cancelled), (outcome, count)| {
            let more = if *outcome == "cancelled" { *count } else { 0 };
            (ended + count, cancelled + more)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn of(&mut self, dispatcher: &str) -> &mut OfDispatcher {
        let known = self.dispatchers.contains_key(dispatcher);
        let name = match known || self.dispatchers.len() < DISPATCHERS_MAX {
            true => dispatcher,
            false => OTHER,
        };
        self.dispatchers.entry(name.to_owned()).or_default()
    }

    fn write(&self, page: &mut Page) {
        let help = "Jobs that ended here, by the outcome of their last attempt.";
        self.write_counters(page, "dispatcher_jobs_total", help, |of| &of.jobs);
        let help = "Attempts that ended here, by outcome.";
        self.write_counters(page, "dispatcher_attempts_total", help, |of| &of.attempts);
        let help = "Time from the start of an attempt to its end.";
        self.write_times(page, "dispatcher_attempt_run_seconds", help, |of| &of.run);
        let help = "Time from when a job was due to when it was claimed.";
        self.write_times(page, "dispatcher_attempt_wait_seconds", help, |of| &of.wait);
        let name = "dispatcher_store_batch_seconds";
        page.family(
            name,
            Kind::Histogram,
            "Time of the supervisor's transactions.",
        );
        page.histogram(name, &[], &self.store, &STORE_SECONDS);
        let name = "dispatcher_ticks_total";
        page.family(
            name,
            Kind::Counter,
            "Ticks of schedules, by what was decided.",
        );
        for (fate, count) in &self.ticks {
            page.sample(name, &[("fate", fate)], count);
        }
    }
}

impl Counted {
    fn write_counters(
        &self,
        page: &mut Page,
        name: &str,
        help: &str,
        counters: impl Fn(&OfDispatcher) -> &BTreeMap<&'static str, u64>,
    ) {
        page.family(name, Kind::Counter, help);
        for (dispatcher, of) in &self.dispatchers {
            for (outcome, count) in counters(of) {
                let labels = [("dispatcher", dispatcher.as_str()), ("outcome", outcome)];
                page.sample(name, &labels, count);
            }
        }
    }

    fn write_times(
        &self,
        page: &mut Page,
        name: &str,
        help: &str,
        histogram: impl Fn(&OfDispatcher) -> &Histogram,
    ) {
        page.family(name, Kind::Histogram, help);
        for (dispatcher, of) in &self.dispatchers {
            let labels = [("dispatcher", dispatcher.as_str())];
            page.histogram(name, &labels, histogram(of), &JOB_SECONDS);
        }
    }
}

impl Histogram {
    fn observe(&mut self, time: Duration, ends: &[f64; 12]) {
        let seconds = time.as_secs_f64();
        if let Some(at) = ends.iter().position(|end| seconds <= *end) {
            self.buckets[at] += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// An exposition under construction.
#[derive(Default)]
struct Page(String);

impl Page {
    fn about_the_service(&mut self, gauges: &Gauges, started: SystemTime) {
        let name = "dispatcher_build_info";
        self.family(name, Kind::Gauge, "Which program serves.");
        let labels = [
            ("program", gauges.program.as_str()),
            ("build", gauges.build.as_str()),
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", env!("DISPATCHER_COMMIT")),
        ];
        self.sample(name, &labels, 1);
        let name = "dispatcher_start_time_seconds";
        self.family(name, Kind::Gauge, "When the service started, since 1970.");
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.sample(name, &[], started.as_secs_f64());
        let name = "dispatcher_serving";
        self.family(name, Kind::Gauge, "Whether the service takes work.");
        self.sample(name, &[], u8::from(gauges.serving));
        let name = "dispatcher_slots";
        self.family(name, Kind::Gauge, "Jobs that may run at once.");
        self.sample(name, &[], gauges.slots);
    }

    fn about_the_state(&mut self, gauges: &Gauges) {
        let name = "dispatcher_jobs_waiting";
        let help = "Queued jobs of the state, delayed and paused ones included.";
        self.family(name, Kind::Gauge, help);
        for (dispatcher, waiting, _) in &gauges.queues {
            self.sample(name, &[("dispatcher", dispatcher)], waiting);
        }
        let name = "dispatcher_jobs_running";
        let help = "Running jobs of the state, those of other supervisors included.";
        self.family(name, Kind::Gauge, help);
        for (dispatcher, _, running) in &gauges.queues {
            self.sample(name, &[("dispatcher", dispatcher)], running);
        }
        let name = "dispatcher_oldest_waiting_age_seconds";
        let help = "Age of the job that was submitted first and still waits; 0 when none does.";
        self.family(name, Kind::Gauge, help);
        self.sample(name, &[], gauges.oldest.unwrap_or_default().as_secs_f64());
    }

    fn about_pools(&mut self, gauges: &Gauges) {
        let name = "dispatcher_workers";
        let help = "Living workers; those without a pool serve one job each.";
        self.family(name, Kind::Gauge, help);
        for ((pool, state), count) in &gauges.workers {
            self.sample(name, &[("pool", pool), ("state", state)], count);
        }
        let name = "dispatcher_pool_waiting";
        self.family(name, Kind::Gauge, "Tasks without a worker.");
        for pool in &gauges.pools {
            self.sample(name, &[("pool", &pool.name)], pool.waiting);
        }
        let name = "dispatcher_pool_running";
        self.family(name, Kind::Gauge, "Tasks in workers.");
        for pool in &gauges.pools {
            self.sample(name, &[("pool", &pool.name)], pool.running);
        }
        let name = "dispatcher_pool_degraded";
        let help = "Whether workers end as soon as they start.";
        self.family(name, Kind::Gauge, help);
        for pool in &gauges.pools {
            let degraded = u8::from(pool.degraded);
            self.sample(name, &[("pool", &pool.name)], degraded);
        }
        let name = "dispatcher_worker_restarts_total";
        self.family(
            name,
            Kind::Counter,
            "Workers that were replaced, by reason.",
        );
        for pool in &gauges.pools {
            for (reason, count) in &pool.restarts {
                self.sample(name, &[("pool", &pool.name), ("reason", reason)], count);
            }
        }
    }

    fn about_sources(&mut self, gauges: &Gauges) {
        let name = "dispatcher_source_healthy";
        self.family(name, Kind::Gauge, "Whether the source runs.");
        for source in &gauges.sources {
            let healthy = u8::from(source.unhealthy.is_none());
            self.sample(name, &[("source", &source.name)], healthy);
        }
        let name = "dispatcher_source_events_total";
        self.family(
            name,
            Kind::Counter,
            "What sources count, missed ticks included.",
        );
        for source in &gauges.sources {
            for (event, count) in &source.counters {
                self.sample(name, &[("source", &source.name), ("event", event)], count);
            }
        }
    }

    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            for char in text.chars() {
                match char {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    char => self.0.push(char),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        histogram: &Histogram,
        ends: &[f64; 12],
    ) {
        let bucket = format!("{name}_bucket");
        let mut total = 0;
        for (end, count) in ends.iter().zip(histogram.buckets) {
            total += count;
            let end = end.to_string();
            self.sample(&bucket, &[labels, &[("le", &end)]].concat(), total);
        }
        let all = [labels, &[("le", "+Inf")]].concat();
        self.sample(&bucket, &all, histogram.count);
        let sum = histogram.sum.as_secs_f64();
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, histogram.count);
    }
}
