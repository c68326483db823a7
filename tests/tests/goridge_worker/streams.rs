//! Answers in pieces: the STREAM bit, PING and PONG, and a host that wants no more.

use dispatcher_core::frame::Frame;

use crate::host::{Host, Kind, encoded, hex};

#[test]
fn a_stream_ends_with_a_frame_without_its_bit() {
    for kind in Kind::ALL {
        let mut host = Host::greet(kind);
        host.task("stream 3");
        let frames = [
            Frame::chunk(b"1"),
            Frame::chunk(b"2"),
            Frame::task(b"", b"3"),
        ];
        for frame in frames {
            assert_eq!(encoded(&host.frame()), encoded(&frame), "{kind:?}");
        }
        assert_eq!(host.ask("next"), "hello next");
    }
}

#[test]
fn a_worker_asks_whether_its_host_is_there() {
    for kind in Kind::ALL {
        let mut host = Host::greet(kind);
        host.task("ping 3");
        for body in [b"1", b"2"] {
            let mut chunk = Frame::chunk(body);
            chunk.stream |= Frame::PING;
            assert_eq!(encoded(&host.frame()), encoded(&chunk), "{kind:?}");
            host.write(&hex("13 00 00000000 96d18034 0800"));
        }
        assert_eq!(host.frame(), Frame::task(b"", b"3"));
    }
}

#[test]
fn a_host_may_want_no_more() {
    for kind in Kind::ALL {
        let mut host = Host::greet(kind);
        for command in ["stream 100000000", "ping 100000000"] {
            host.task(command);
            for body in [b"1", b"2"] {
                assert_eq!(host.frame().payload, body);
                if command.starts_with("ping") {
                    host.send(&Frame::pong());
                }
            }
            host.write(&hex("13 00 00000000 96d18034 0200"));
            assert_eq!(
                host.end_of_stream(),
                Frame::task(b"", b""),
                "{kind:?} {command}"
            );
            assert_eq!(host.ask("next"), "hello next");
        }
    }
}

#[test]
fn what_crosses_the_end_of_a_stream_is_ignored() {
    for kind in Kind::ALL {
        let mut host = Host::greet(kind);
        host.task("stream 2");
        host.send(&Frame::stream_cancel());
        host.end_of_stream();
        host.send(&Frame::stream_cancel());
        host.send(&Frame::pong());
        assert_eq!(host.ask("next"), "hello next", "{kind:?}");
    }
}

#[test]
fn a_host_that_stops_a_worker_stops_its_stream() {
    let mut host = Host::greet(Kind::Rust);
    host.task("stream 100000000");
    assert_eq!(host.frame(), Frame::chunk(b"1"));
    host.send(&Frame::stop());
    host.end_of_stream();
    assert_eq!(host.end().code, Some(0));
}

#[test]
fn a_host_that_pings_gets_a_pong() {
    let mut host = Host::greet(Kind::Rust);
    let ping = Frame {
        stream: Frame::PING,
        ..Frame::default()
    };
    host.send(&ping);
    assert_eq!(host.frame(), Frame::pong());
}
