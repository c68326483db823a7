//! What only several lanes together can do to a batch: the simulator finds it in one of many
//! hundred worlds.

use dispatcher_core::engine::PoolId;
use dispatcher_core::{DispatcherOptions, JobState, Options};

use crate::store::{Build, DispatcherRow, MemoryStore, NewJob, NewSupervisor, Store, Submission};

use super::*;

const NAME: &str = "renew";
const POOL: Lane = Lane::Pool(PoolId(0));

fn build() -> Build {
    Build {
        modified_ns: 1,
        id: "build".into(),
    }
}

fn submit(store: &mut MemoryStore) -> JobId {
    let id = JobId::from_bytes([7; 10]);
    let job = NewJob {
        id,
        dispatcher: NAME.into(),
        identity: String::new(),
        payload: "{}".into(),
        options: Options::default(),
        retry_of: None,
        origin: "test".into(),
        build: build(),
    };
    let row = DispatcherRow {
        name: NAME.into(),
        build: build(),
        options: DispatcherOptions::default(),
        about: String::new(),
    };
    let group = Submission {
        dispatchers: vec![row],
        jobs: vec![job],
        ..Submission::default()
    };
    assert!(store.submit(&[group]).iter().all(Result::is_ok));
    id
}

fn clerk(store: &mut MemoryStore) -> Clerk {
    let row = NewSupervisor {
        program: "app".into(),
        build: build(),
        pid: 1,
        slots: 1,
        directory: "/nowhere".into(),
        serves: vec![NAME.into()],
        queues: Vec::new(),
        lease: None,
    };
    let post = |names: &[&str], pool_slot| LanePost {
        ahead: 0,
        serves: Serves {
            dispatchers: names.iter().map(|name| (*name).to_owned()).collect(),
            queues: Vec::new(),
        },
        worker_slots: 1,
        pool_slot,
    };
    Clerk::new(Post {
        supervisor: store.open_supervisor(&row).unwrap(),
        lanes: BTreeMap::from([
            (Lane::Process, post(&[NAME], None)),
            (POOL, post(&[], Some(1))),
        ]),
        commands: BTreeSet::new(),
        build: "build".into(),
    })
}

#[test]
fn what_a_lane_was_just_given_is_not_given_back_for_the_doubts_of_another() {
    let mut store = MemoryStore::with_clock(Arc::default());
    let job = submit(&mut store);
    let mut clerk = clerk(&mut store);
    // Of an earlier batch.
    clerk.doubts.insert(POOL);
    clerk.claim(Lane::Process, vec![0]);
    clerk.close(0);
    let batch = clerk.take_batch().unwrap();
    let told = clerk.answered(batch.perform(&mut store));
    let claimed = told.events.iter().any(|event| {
        matches!(event, Event::Claimed { lane: Lane::Process, jobs, .. } if jobs.len() == 1)
    });
    assert!(claimed, "{:?}", told.events);
    assert_eq!(store.state(job).unwrap(), Some(JobState::Running));
}
