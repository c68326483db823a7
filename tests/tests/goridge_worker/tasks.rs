//! A worker's life: hello, tasks, errors, the end; and what is no frame.

use std::process::Command;
use std::thread::spawn;

use dispatcher_core::frame::Frame;
use dispatcher_tests::{PATIENCE, eventually};

use crate::host::{Host, Kind, encoded, fixture, hex};

#[test]
fn hello_tasks_and_the_end_are_those_bytes() {
    for kind in Kind::ALL {
        let mut host = Host::start(kind);
        host.write(&hex("1309 0c000000 5f0c4673 0000"));
        host.write(br#"{"pid":1234}"#);
        let hello = encoded(&host.frame());
        assert_eq!(hello, encoded(&Frame::pid_reply(host.pid())), "{kind:?}");
        assert_eq!(hello[..2], [0x13, 0x01]);

        host.write(&hex("14 00 18000000 5e9e28bc 0000 0e000000"));
        host.write(br#"{"lastTick":0}{"tick":0}"#);
        let reply = host.frame();
        let whole = (&b""[..], &br#"hello {"tick":0}"#[..]);
        assert_eq!(reply.context_and_body(), Ok(whole), "{kind:?}");
        host.write(&hex("14 04 01000000 8b20b964 0000 00000000 41"));
        assert_eq!(host.frame(), Frame::task(b"", b"hello A"), "{kind:?}");
        host.send(&Frame::task(br#"{"a":1}"#, b"context of it"));
        assert_eq!(host.frame(), Frame::task(br#"{"a":1}"#, b"of it"));
        host.task("context OK");
        host.expect("14 00 02000000 a5298c83 0000 00000000", "OK");
        host.task("context");
        host.expect("14 00 00000000 2ee18529 0000 00000000", "");

        host.write(&hex("13 09 0d000000 3a6bfacb 0000"));
        host.write(br#"{"stop":true}"#);
        let end = host.end();
        assert_eq!((end.code, &end.stdout[..]), (Some(0), &b""[..]), "{end:?}");
    }
}

#[test]
fn a_soft_error_keeps_the_worker() {
    for kind in Kind::ALL {
        let mut host = Host::greet(kind);
        let pid = host.ask("pid");
        assert_eq!(pid, host.pid().to_string());
        host.task("error boom");
        host.expect("13 40 04000000 881e11e3 0000", "boom");
        assert_eq!(host.ask("pid"), pid, "{kind:?}");
    }
}

#[test]
fn a_worker_may_ask_to_be_stopped() {
    for kind in Kind::ALL {
        let mut host = Host::greet(kind);
        host.task("stop");
        host.expect("14 00 0d000000 f339efdb 0000 0d000000", r#"{"stop":true}"#);
        host.send(&Frame::stop());
        assert_eq!(host.end().code, Some(0), "{kind:?}");
    }
}

#[test]
fn a_worker_ends_with_its_host_and_as_the_task_says() {
    for kind in Kind::ALL {
        let mut host = Host::greet(kind);
        host.hang_up();
        assert_eq!(host.end().code, Some(0), "{kind:?}");

        let part = "14 00 18000000 5e9e28bc 0000 0e000000 7b22";
        for bytes in [part, &part[..33], &part[..25]].map(hex) {
            let mut host = Host::greet(kind);
            host.write(&bytes);
            host.hang_up();
            let end = host.end();
            assert!(end.code.is_some_and(|code| code != 0), "{kind:?} {end:?}");
        }

        let mut host = Host::greet(kind);
        host.task("exit 3");
        let end = host.end();
        assert_eq!((end.code, &end.stdout[..]), (Some(3), &b""[..]), "{end:?}");
    }
}

#[test]
fn the_environment_reaches_the_worker() {
    for kind in Kind::ALL {
        let mut host = Host::start_with(kind, &[("RR_MODE", "commands"), ("GREETING", "hi")]);
        assert_eq!(host.ask("env RR_MODE"), "commands");
        assert_eq!(host.ask("env GREETING"), "hi");
        assert_eq!(host.ask("env NOWHERE_TO_BE_FOUND"), "", "{kind:?}");
    }
}

#[test]
fn bodies_of_16_mib_go_there_and_back() {
    for kind in Kind::ALL {
        let mut host = Host::greet(kind);
        let body: Vec<u8> = (0..4_u32 << 20).flat_map(u32::to_le_bytes).collect();
        let task = encoded(&Frame::task(b"", &[b"large ", &body[..]].concat()));
        // The second is still being written when the first answer comes.
        host.write(&task);
        host.write(&task);
        for _ in 0..2 {
            let reply = host.frame();
            let is_reversed = reply.payload.iter().eq(body.iter().rev());
            assert!(is_reversed, "{kind:?} sent something else back");
        }
        assert_eq!(host.ask("still there"), "hello still there");
    }
}

#[test]
fn frames_may_arrive_byte_by_byte() {
    for kind in Kind::ALL {
        let mut host = Host::start(kind);
        let frames = [
            Frame::pid_request(1),
            Frame::task(b"context", b"context body"),
        ];
        for byte in frames.iter().flat_map(encoded) {
            host.write(&[byte]);
        }
        assert_eq!(host.frame(), Frame::pid_reply(host.pid()));
        assert_eq!(host.frame(), Frame::task(b"context", b"body"));
        for byte in encoded(&Frame::stop()) {
            host.write(&[byte]);
        }
        assert_eq!(host.end().code, Some(0), "{kind:?}");
    }
}

#[test]
fn what_is_no_frame_ends_the_worker() {
    for kind in Kind::ALL {
        for garbage in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            hex("24 00 02000000 a5298c83 0000 00000000 4f4b"),
            hex("12 00 02000000 a5298c83 0000 00000000 4f4b"),
            hex("14 00 02000000 a5298c84 0000 00000000 4f4b"),
        ] {
            let mut host = Host::greet(kind);
            host.write(&garbage);
            let end = host.end();
            assert!(end.code.is_some_and(|code| code != 0), "{kind:?} {end:?}");
            assert_eq!(end.stdout, b"", "{kind:?}");
            assert!(end.stderr.contains("no frame") || end.stderr.contains("text where"));
        }
    }
}

#[test]
fn what_a_header_only_claims_is_never_allocated() {
    let mut host = Host::greet(Kind::Rust);
    let mut header = vec![0x14, 0, 0xff, 0xff, 0xff, 0xff];
    let sum = crc(&header);
    header.extend(sum);
    header.extend([0, 0]);
    host.write(&header);
    let end = host.end();
    assert_eq!(end.code, Some(70));
    assert!(end.stderr.contains("4294967295 bytes"), "{}", end.stderr);
}

/// CRC-32/IEEE, bit by bit.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1));
        }
    }
    (!sum).to_le_bytes()
}

#[test]
fn stray_text_breaks_the_protocol_of_those_that_do_not_guard_it() {
    for kind in [Kind::Php, Kind::Python] {
        let mut host = Host::greet(kind);
        host.task("echo stray text");
        host.expect("", "stray text");
        assert_eq!(host.frame(), Frame::task(b"", b"printed"));
    }
    let mut host = Host::greet(Kind::Rust);
    assert_eq!(host.ask("echo stray text"), "printed");
    host.hang_up();
    let end = host.end();
    assert_eq!(end.code, Some(0));
    assert!(end.stderr.contains("stray text\n"), "{}", end.stderr);
    assert!(end.stderr.contains("asked about"), "{}", end.stderr);
}

#[test]
fn children_of_a_worker_do_not_hold_its_pipes() {
    let mut host = Host::greet(Kind::Rust);
    assert_eq!(host.ask("pid"), host.pid().to_string());
    let open = |number: u32| {
        let path = format!("/proc/{}/fd/{number}", host.pid());
        std::fs::read_link(path).map(|to| to.display().to_string())
    };
    let standard = [0, 1, 2].map(|number| open(number).expect("it is open"));
    assert_eq!(standard[0], "/dev/null");
    assert_eq!(standard[1], standard[2]);
    let mut private = 0;
    let folder = format!("/proc/{}/fdinfo", host.pid());
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let number = entry.file_name().to_string_lossy().parse();
        if !host
            .pipes
            .contains(&open(number.expect("one")).expect("it is open"))
        {
            continue;
        }
        let info = std::fs::read_to_string(entry.path()).expect("a text");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.expect("flags").trim(), 8).expect("octal");
        assert!(flags & 0o2_000_000 != 0, "a child gets it: {info}");
        private += 1;
    }
    assert_eq!(private, 2);
}

#[test]
fn scripts_that_do_not_start_say_so_before_the_handshake() {
    for script in ["syntax_error.php", "nowhere.php"] {
        let mut host = Host::run(Command::new("php").arg(fixture(script)));
        host.send(&Frame::pid_request(1));
        let end = host.end();
        let said = String::from_utf8_lossy(&end.stdout).into_owned();
        assert!(end.code.is_some_and(|code| code != 0), "{end:?}");
        let said = said + &end.stderr;
        let named = said.contains("syntax error") || said.contains("Could not open input file");
        assert!(named, "{end:?}");
    }
}

#[test]
fn many_workers_at_once_are_no_matter() {
    let hosts = Kind::ALL.map(|kind| spawn(move || Host::greet(kind).ask("who")));
    for host in hosts {
        eventually("an answer", PATIENCE, || host.is_finished());
        assert_eq!(host.join().expect("an answer"), "hello who");
    }
}
