//! A worker against a host that says anything: it answers or refuses, however the bytes are cut.

use std::io::{self, Read, Write};
use std::mem::discriminant;
use std::sync::{Arc, Mutex, PoisonError};

use dispatcher_core::frame::{Decoder, Frame};
use dispatcher_runner::worker::{Environment, Wanted, Worker, WorkerError};

use crate::allocations::allocated;
use crate::driver::{Seen, fuzz};
use crate::frames::mended;

#[test]
fn workers() {
    fuzz("workers", |bytes| {
        check(bytes);
        check(&mended(bytes))
    });
}

fn check(bytes: &[u8]) -> Seen {
    let (whole, asked) = allocated(|| serve(bytes, usize::MAX));
    // Buffers of the relay, the payloads and their copies, and answers that grow.
    let most = 24 * bytes.len() + 256 * 1024;
    assert!(asked <= most, "{asked} bytes for {}", bytes.len());
    for piece in [1, 7, 12] {
        let again = serve(bytes, piece);
        assert_eq!(again.written, whole.written, "cut into pieces of {piece}");
        assert_eq!(kind(&again.end), kind(&whole.end), "{:?}", again.end);
    }
    let mut decoder = Decoder::new(1 << 30);
    decoder.push(&whole.written);
    let written = std::iter::from_fn(|| decoder.next().expect("a worker writes frames"));
    let written: Vec<Frame> = written.collect();
    let ends = |frame: &&Frame| {
        let is_link = frame.is_control() || frame.stream != 0;
        !is_link
    };
    assert_eq!(written.iter().filter(ends).count(), whole.answers);
    assert!(!decoder.half_received());
    Seen::of((written.len().min(4), whole.answers.min(3), kind(&whole.end)))
}

/// What kind of end it was. Why bytes are no frame may be told by the first of them already, before
/// the rest has arrived.
fn kind(end: &Result<(), WorkerError>) -> String {
    match end {
        Ok(()) => "well".to_owned(),
        Err(error) => format!("{:?}", discriminant(error)),
    }
}

struct Served {
    written: Vec<u8>,
    /// Tasks that were answered.
    answers: usize,
    end: Result<(), WorkerError>,
}

fn serve(bytes: &[u8], piece: usize) -> Served {
    let input = Pieces {
        bytes: bytes.to_vec(),
        start: 0,
        piece,
    };
    let output = Output::default();
    let mut worker = Worker::new(Environment::default(), input, output.clone());
    let mut answers = 0;
    let end = answer_all(&mut worker, &mut answers);
    let written = output.0.lock().unwrap_or_else(PoisonError::into_inner);
    Served {
        written: written.clone(),
        answers,
        end,
    }
}

fn answer_all(worker: &mut Worker, answers: &mut usize) -> Result<(), WorkerError> {
    while let Some(payload) = worker.wait_payload()? {
        match &payload.body[..] {
            b"stream" => {
                let mut stream = worker.stream()?;
                while stream.ping("chunk")? == Wanted::More {}
                stream.finish("")?;
            }
            b"error" => worker.error("as asked")?,
            b"stop" => worker.ask_to_stop()?,
            _ => worker.respond_payload(&payload)?,
        }
        *answers += 1;
    }
    Ok(())
}

/// Gives at most so many bytes at a time.
struct Pieces {
    bytes: Vec<u8>,
    start: usize,
    piece: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.start..];
        let count = rest.len().min(buffer.len()).min(self.piece);
        buffer[..count].copy_from_slice(&rest[..count]);
        self.start += count;
        Ok(count)
    }
}

/// Keeps what is written where it can be looked at.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
