//! Every message survives the trip, and no byte sequence upsets a decoder.

use super::*;

fn tag() -> Tag {
    Tag {
        job: JobId::from_bytes([7; 10]),
        attempt: 3,
    }
}

fn requests() -> Vec<KeeperRequest> {
    let limits = Limits {
        cpu: Some(Duration::from_millis(1500)),
        open_files: Some(64),
        nice: Some(-5),
        core: Some(0),
        oom_score_adj: Some(900),
        group: Some("/sys/fs/cgroup/a b/cgroup.procs".into()),
        identity: Some(Identity {
            user: 33,
            group: 34,
            groups: vec![4, 34],
        }),
    };
    vec![
        KeeperRequest::Fork {
            worker: 1,
            tag: tag(),
            title: "app notifydispatcher X".into(),
            limits: limits.clone(),
        },
        KeeperRequest::Exec {
            worker: u32::MAX,
            tag: tag(),
            dispatcher: "Grüße".into(),
            limits: Limits::default(),
        },
        KeeperRequest::Command {
            worker: 2,
            tag: tag(),
            argv: vec!["sh".into(), String::new(), "a\nb\u{1F600}".into()],
            env: vec![
                ("PATH".into(), "/bin".into()),
                ("EMPTY".into(), String::new()),
            ],
            working_directory: Some("/tmp".into()),
            limits: limits.clone(),
        },
        KeeperRequest::Command {
            worker: 2,
            tag: tag(),
            argv: vec!["x".repeat(200_000)],
            env: Vec::new(),
            working_directory: None,
            limits,
        },
        KeeperRequest::Signal {
            worker: 9,
            signal: 15,
        },
        KeeperRequest::Bury {
            worker: 9,
            kill: true,
        },
        KeeperRequest::Deadline { boottime_ms: None },
        KeeperRequest::Deadline {
            boottime_ms: Some(u64::MAX),
        },
    ]
}

fn reports() -> Vec<KeeperReport> {
    let usage = Usage {
        user_us: 1,
        system_us: 2,
        max_rss_kib: 3,
        major_faults: 4,
        minor_faults: 5,
        context_switches: u64::MAX,
        blocks_read: 6,
        blocks_written: 7,
        tree_peak_kib: None,
    };
    let exited = |status| KeeperReport::Exited {
        worker: 5,
        status,
        usage,
        strays: 2,
    };
    vec![
        KeeperReport::Spawned { worker: 1, pid: 77 },
        KeeperReport::SpawnFailed {
            worker: 1,
            errno: 12,
        },
        exited(ExitStatus::Exited(-1)),
        exited(ExitStatus::Signalled {
            signal: 9,
            core: false,
        }),
        exited(ExitStatus::Signalled {
            signal: 11,
            core: true,
        }),
        KeeperReport::Buried { worker: 4, left: 1 },
    ]
}

#[test]
fn requests_survive_the_trip() {
    for request in requests() {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        assert_eq!(KeeperRequest::decode(&bytes), Ok(request));
    }
}

#[test]
fn reports_survive_the_trip_together() {
    let mut bytes = Vec::new();
    reports()
        .iter()
        .for_each(|report| report.encode(&mut bytes));
    assert_eq!(KeeperReport::decode_all(&bytes), Ok(reports()));
    assert_eq!(KeeperReport::decode_all(&[]), Ok(Vec::new()));
}

#[test]
fn openings_survive_the_trip() {
    let refused = Opening::Refused {
        why: "threads".into(),
    };
    for opening in [Opening::Ready, refused] {
        assert_eq!(Opening::decode(&opening.encode()), Ok(opening));
    }
    assert_eq!(Opening::decode(&[]), Err(WireError));
}

#[test]
fn cut_or_lengthened_requests_are_refused() {
    for request in requests() {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 500) {
            assert_eq!(KeeperRequest::decode(&bytes[..end]), Err(WireError));
        }
        bytes.push(0);
        assert_eq!(KeeperRequest::decode(&bytes), Err(WireError));
    }
}

#[test]
fn changed_bytes_never_panic_and_never_allocate_what_they_claim() {
    let mut bytes = Vec::new();
    requests()[2].encode(&mut bytes);
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let _ = KeeperRequest::decode(&changed);
            let _ = KeeperReport::decode_all(&changed);
        }
    }
}

/// What is read is written as the same bytes, and so is all that was there.
#[test]
fn keeper_messages() {
    use crate::fuzzing::{Seen, fuzz};

    fuzz("keeper_messages", |bytes| {
        let request = KeeperRequest::decode(bytes);
        if let Ok(request) = &request {
            let mut written = Vec::new();
            request.encode(&mut written);
            assert_eq!(KeeperRequest::decode(&written).as_ref(), Ok(request));
            assert_eq!(written.len(), bytes.len());
            assert!(KeeperRequest::worker_in(bytes).is_ok());
        }
        let reports = KeeperReport::decode_all(bytes);
        if let Ok(reports) = &reports {
            let mut written = Vec::new();
            reports
                .iter()
                .for_each(|report| report.encode(&mut written));
            assert_eq!(written, bytes);
        }
        let opening = Opening::decode(bytes);
        if let Ok(opening) = &opening {
            assert_eq!(Opening::decode(&opening.encode()).as_ref(), Ok(opening));
        }
        let kind = request.as_ref().map(std::mem::discriminant);
        let kinds = reports.as_ref().map(|reports| {
            let kinds = reports.iter().take(3).map(std::mem::discriminant);
            kinds.collect::<Vec<_>>()
        });
        Seen::of((kind.ok(), kinds.ok(), opening.is_ok(), bytes.len() / 16))
    });
}

/// One input of the corpus for each kind of message; `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn the_corpus_has_every_kind() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = package.join("../tests/corpus/keeper_messages");
    let mut messages = Vec::new();
    for request in requests() {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        messages.push(bytes);
    }
    for report in reports() {
        let mut bytes = Vec::new();
        report.encode(&mut bytes);
        messages.push(bytes);
    }
    messages.retain(|bytes| bytes.len() < 4096);
    messages.push(Opening::Refused { why: "no".into() }.encode());
    for (number, bytes) in messages.iter().enumerate() {
        let path = folder.join(format!("kind-{number:02}"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        assert_eq!(&std::fs::read(&path).unwrap(), bytes, "{}", path.display());
    }
}
