//! What a round of the storm does to hosts and to the server.

use std::time::{Duration, Instant};

use dispatcher_tests::{Home, Kind, PATIENCE, Seen, eventually, freeze, kill, pass, said, within};

use super::super::HOSTS;
use super::Storm;
use super::load::Work;

/// Whom a round strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strike {
    Service,
    Keeper,
    ServiceThenKeeper,
    KeeperThenService,
    Worker,
    Workers,
    /// Everything on a host, which stays away for a while.
    Machine,
    /// All services, so that senders start supervisors; then those.
    Detached,
    /// A service stands still for a moment.
    Moment,
    /// A service stands still past its lease.
    PastLease,
    /// Every connection to the database.
    Connections,
    /// The server crashes.
    Server,
}

pub(super) const STRIKES: [Strike; 12] = [
    Strike::Service,
    Strike::Keeper,
    Strike::ServiceThenKeeper,
    Strike::KeeperThenService,
    Strike::Worker,
    Strike::Workers,
    Strike::Machine,
    Strike::Detached,
    Strike::Moment,
    Strike::PastLease,
    Strike::Connections,
    Strike::Server,
];

/// Longer than a lease, and than somebody else needs to see its end.
const PAST_LEASE: Duration = Duration::from_secs(7);
/// What has this much of its lease left has time to end.
const TIME_LEFT_MS: i64 = 3_000;
/// Rounds for which a lost machine stays away.
const AWAY: u32 = 6;

impl Storm<'_> {
    pub(super) fn strike(&mut self, strike: Strike, round: u32) {
        *self.tally.strikes.entry(strike).or_default() += 1;
        match strike {
            Strike::Connections => self.end_connections(),
            Strike::Server => self.server.restart_immediately(),
            Strike::Detached => self.strike_detached(),
            Strike::Service
            | Strike::Keeper
            | Strike::ServiceThenKeeper
            | Strike::KeeperThenService
            | Strike::Worker
            | Strike::Workers
            | Strike::Machine
            | Strike::Moment
            | Strike::PastLease => {
                let struck: Vec<usize> = (0..self.hosts.len())
                    .filter(|at| {
                        let host = &self.hosts[*at];
                        host.service.is_some() && host.stands_still.is_none()
                    })
                    .collect();
                if !struck.is_empty() {
                    let at = self.random.pick(&struck);
                    self.strike_host(strike, at, round);
                }
            }
        }
        // Whose host is there comes back at once.
        self.come_back(round);
    }

    fn strike_host(&mut self, strike: Strike, at: usize, round: u32) {
        let service = self.hosts[at].service.as_ref().map_or(0, |it| it.pid());
        let (keepers, workers) = self.people(at);
        let kill_keepers = || keepers.iter().for_each(|pid| kill(*pid));
        match strike {
            Strike::Service => self.hosts[at].service = None,
            Strike::Keeper => kill_keepers(),
            // Nobody is left to end what runs, so it must end before others may take over.
            Strike::ServiceThenKeeper | Strike::KeeperThenService if !self.has_time(service) => {
                kill_keepers();
            }
            Strike::ServiceThenKeeper => {
                kill(service);
                kill_keepers();
                self.end_gated(at);
                self.hosts[at].service = None;
            }
            Strike::KeeperThenService => {
                kill_keepers();
                self.hosts[at].service = None;
                self.end_gated(at);
            }
            Strike::Worker if workers.is_empty() => {}
            Strike::Worker => kill(self.random.pick(&workers)),
            Strike::Workers => workers.iter().for_each(|pid| kill(*pid)),
            Strike::Machine => self.hosts[at].lose(&self.site, round + AWAY),
            Strike::Moment => {
                let frozen = freeze(service);
                let until = Duration::from_millis(self.random.below(3_000).into());
                self.hosts[at].stands_still = Some((frozen, Instant::now() + until));
            }
            Strike::PastLease => {
                let frozen = freeze(service);
                self.hosts[at].stands_still = Some((frozen, Instant::now() + PAST_LEASE));
            }
            Strike::Detached | Strike::Connections | Strike::Server => {}
        }
    }

    /// Numbers of a host's keepers, and of whom they keep.
    fn people(&self, at: usize) -> (Vec<i32>, Vec<i32>) {
        let all = on_host_of(&self.site.home, self.hosts[at].name);
        let keepers = all.iter().filter(|it| it.kind == Kind::Keeper);
        let keepers: Vec<i32> = keepers.map(|it| it.pid).collect();
        let workers = all.iter().filter(|it| keepers.contains(&it.parent));
        let workers = workers.map(|it| it.pid).collect();
        (keepers, workers)
    }

    /// Whether whatever the service runs ends before its lease does.
    fn has_time(&self, service: i32) -> bool {
        let left = format!(
            "SELECT lease_until - dispatcher.clock() FROM dispatcher.supervisors WHERE pid = {service}"
        );
        let told = self.site.try_psql(&left);
        let left = said(&told.stdout).trim().parse::<i64>();
        left.is_ok_and(|ms| ms >= TIME_LEFT_MS)
    }

    /// Ends on a host what would not end by itself.
    fn end_gated(&self, at: usize) {
        let gated = eventually("the server answers", PATIENCE, || self.gated());
        for seen in on_host_of(&self.site.home, self.hosts[at].name) {
            if gated.iter().any(|job| seen.is_of(job)) {
                kill(seen.pid);
            }
        }
    }

    fn end_connections(&self) {
        for _ in 0..3 {
            // The server may be away.
            let _ = self.site.database.end_connections("true");
            pass(Duration::from_millis(20));
        }
    }

    /// All services are told to end, and those who send then start a supervisor; that dies too.
    fn strike_detached(&mut self) {
        for host in &mut self.hosts {
            host.stands_still = None;
            if let Some(service) = host.service.take() {
                service.end();
            }
        }
        eventually("no lease of a lost one holds", PATIENCE, || {
            let held = "SELECT count(*) FROM dispatcher.supervisors
                WHERE lease_until > dispatcher.clock()";
            let is_free = self.site.try_psql(held).stdout.starts_with(b"0");
            // Those who were sending just now may have started one.
            is_free || !self.site.home.of_kind(Kind::Supervisor).is_empty()
        });
        let senders = HOSTS.map(|host| self.send_on(host, Work::Process));
        let started = within(PATIENCE, || self.site.home.of_kind(Kind::Supervisor).pop());
        let started = started.expect("somebody has started one").pid;
        self.census.take(&self.site.home);
        let wait = self.random.below(200_000);
        pass(Duration::from_micros(wait.into()));
        match self.random.below(3) {
            0 => kill(started),
            1 => self
                .site
                .home
                .of_kind(Kind::Keeper)
                .iter()
                .for_each(|it| kill(it.pid)),
            // It goes on beside the services until it is no longer needed.
            _ => {}
        }
        self.hear(senders.into());
    }
}

fn on_host_of(home: &Home, host: &str) -> Vec<Seen> {
    home.processes_with(&format!("XDG_STATE_HOME={}", home.file(host).display()))
}
