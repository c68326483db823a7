//! A storm over three hosts: services, keepers, workers and detached supervisors are killed,
//! services stand still, machines and the server are lost, and the work goes on.
//!
//! Whatever was acknowledged ends once, nothing runs beside itself, nobody leaves of himself, and
//! nobody is left. One thing is not asked for: that a host whose service and keeper die together
//! stays away past its lease (only the fence covers what its workers then do).

mod load;
mod strikes;
mod verdict;

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use dispatcher_tests::{
    Census, Frozen, HostService, PATIENCE, Postgres, Random, Size, eventually, pass, said,
};

use super::{HOSTS, Site};

use load::{Sender, Work};
use strikes::{STRIKES, Strike};

/// Rounds after which everything comes to its end and is looked at.
const ROUNDS_PER_LOOK: u32 = 30;

/// Jobs that run all the time, on a third of the slots.
const GATED: usize = 4;

struct Storm<'p> {
    site: Site<'p>,
    server: &'p Postgres,
    random: Random,
    census: Census,
    hosts: [Host; 3],
    looks: u32,
    /// Jobs that somebody was told are stored, since the last look.
    acknowledged: BTreeMap<String, Work>,
    /// Jobs of which somebody was told that they will not succeed.
    cancelled: Vec<String>,
    tally: Tally,
}

/// A host, and what is known of its service.
struct Host {
    name: &'static str,
    /// None while nobody has started it again.
    service: Option<HostService>,
    stands_still: Option<(Frozen, Instant)>,
    /// Round in which it comes back.
    back_in: u32,
}

/// What the storm did, to be printed.
#[derive(Debug, Default)]
struct Tally {
    strikes: BTreeMap<Strike, u32>,
    acknowledged: BTreeMap<Work, u32>,
    sent_by_sql: u32,
    kept_to_limits: u32,
    refused: u32,
    cut_off: u32,
    cancelled: u32,
    ends: BTreeMap<String, u32>,
    /// By cause.
    attempts: String,
}

#[test]
fn postgres_storm() {
    let rounds = Size::get().pick(12, 360);
    let server = Postgres::alone();
    let site = Site::on(&server);
    load::configure(&site.home);
    let mut storm = Storm {
        site,
        server: &server,
        random: Random::seeded(),
        census: Census::new(),
        hosts: HOSTS.map(Host::new),
        looks: 0,
        acknowledged: BTreeMap::new(),
        cancelled: Vec::new(),
        tally: Tally::default(),
    };
    eprintln!("size: {rounds} rounds on {} hosts", HOSTS.len());
    let began = Instant::now();
    storm.come_back(u32::MAX);
    storm.serve();
    // Each kind of strike as often as any other, in an order of its own.
    let mut strikes = Vec::new();
    for round in 0..rounds {
        if strikes.is_empty() {
            strikes = STRIKES.to_vec();
        }
        let next = storm
            .random
            .below(u32::try_from(strikes.len()).expect("a few"));
        let strike = strikes.swap_remove(next as usize);
        storm.round(round, strike);
        if round % ROUNDS_PER_LOOK == ROUNDS_PER_LOOK - 1 {
            storm.look();
        }
    }
    storm.end();
    let tally = &storm.tally;
    eprintln!("{rounds} rounds in {:.1?}: {tally:?}", began.elapsed());
}

impl Storm<'_> {
    /// Senders on all hosts are at it when it strikes.
    fn round(&mut self, round: u32, strike: Strike) {
        self.come_back(round);
        let mut senders: Vec<Sender> = (0..5).map(|_| self.send()).collect();
        if self.gated().is_some_and(|jobs| jobs.len() < GATED) {
            let host = self.random.pick(&HOSTS);
            senders.push(self.send_on(host, Work::Gated));
        }
        self.send_by_sql();
        self.census.take(&self.site.home);
        let wait = self.random.below(150_000);
        pass(Duration::from_micros(wait.into()));
        self.census.take(&self.site.home);
        self.nobody_left_of_himself();
        self.strike(strike, round);
        let to_cancel = self.hear(senders);
        let cancels: Vec<Child> = to_cancel.iter().map(|job| self.cancel(job)).collect();
        self.keep_to_limits();
        for (job, child) in to_cancel.into_iter().zip(cancels) {
            let output = child.wait_with_output().expect("it ends");
            let told = said(&output.stdout);
            if told.contains("cancelled") || told.contains("being stopped") {
                self.tally.cancelled += 1;
                self.cancelled.push(job);
            }
        }
        self.census.take(&self.site.home);
    }

    /// Services that were lost a while ago, or stood still long enough.
    fn come_back(&mut self, round: u32) {
        for host in &mut self.hosts {
            if host.service.is_none() && host.back_in <= round {
                let Site { home, url, .. } = &self.site;
                let service = HostService::start_with(home, host.name, url, load::LEASE);
                host.service = Some(service);
            }
            host.stands_still
                .take_if(|(_, until)| round == u32::MAX || *until <= Instant::now());
        }
    }

    /// Waits until every service of every host is open.
    fn serve(&self) {
        let services = self.hosts.iter().filter_map(|host| host.service.as_ref());
        let pids: Vec<String> = services.map(|it| it.pid().to_string()).collect();
        let open = format!(
            "SELECT count(*) FROM dispatcher.supervisors WHERE open AND pid IN ({})",
            pids.join(", ")
        );
        eventually("all services are open", PATIENCE, || {
            self.site.try_psql(&open).stdout.starts_with(b"3")
        });
    }

    fn nobody_left_of_himself(&mut self) {
        for host in &mut self.hosts {
            if let Some(service) = &mut host.service {
                assert!(service.is_alive(), "{}: {}", host.name, service.log());
            }
        }
    }
}

impl Host {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            service: None,
            stands_still: None,
            back_in: 0,
        }
    }

    /// Nothing of it is left to go on.
    fn lose(&mut self, site: &Site<'_>, back_in: u32) {
        self.stands_still = None;
        site.lose(self.name);
        self.service = None;
        self.back_in = back_in;
    }
}
