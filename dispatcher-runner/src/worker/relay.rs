//! The ways that frames come and go.
//!
//! A relay never holds more of a frame than has arrived, and refuses for ever what was no frame.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;

use dispatcher_core::frame::{Decoder, Frame};

use super::WorkerError;
use crate::process;

/// Bytes read at once; what a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// A way to a host. It may keep frames to itself that are not for the worker's code.
pub(crate) trait Relay: Send {
    /// The next frame, waited for; `None` when the host is gone.
    fn receive(&mut self) -> Result<Option<Frame>, WorkerError>;

    /// The next frame if it has arrived. A relay that cannot look without waiting finds those
    /// frames only that it has read already.
    fn arrived(&mut self) -> Result<Option<Frame>, WorkerError>;

    /// Sends one frame whole.
    fn send(&mut self, frame: &Frame) -> Result<(), WorkerError>;
}

/// Any two streams of bytes; a read waits.
pub(super) struct Streams<R, W> {
    input: R,
    output: W,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl<R: Read, W: Write> Streams<R, W> {
    pub(super) fn new(input: R, output: W, payload_max: usize) -> Self {
        Self {
            input,
            output,
            decoder: Decoder::new(payload_max),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// Reads once; says whether the host is still there.
    fn read(&mut self) -> Result<bool, WorkerError> {
        let count = loop {
            match self.input.read(&mut self.buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(WorkerError::Read(error)),
            }
        };
        self.decoder.push(&self.buffer[..count]);
        if count == 0 && self.decoder.half_received() {
            let bytes = self.decoder.pending_bytes();
            return Err(WorkerError::CutOff { bytes });
        }
        Ok(count > 0)
    }
}

impl<R: Read + Send, W: Write + Send> Relay for Streams<R, W> {
    fn receive(&mut self) -> Result<Option<Frame>, WorkerError> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(Some(frame));
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    fn arrived(&mut self) -> Result<Option<Frame>, WorkerError> {
        Ok(self.decoder.next()?)
    }

    fn send(&mut self, frame: &Frame) -> Result<(), WorkerError> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.output
            .write_all(&bytes)
            .and_then(|()| self.output.flush())
            .map_err(WorkerError::Write)
    }
}

/// The standard streams of a worker that a host started, out of the reach of user code.
pub(super) struct Pipes(Streams<File, File>);

impl Pipes {
    pub(super) fn take(payload_max: usize) -> Result<Self, WorkerError> {
        let (input, output) = process::take_standard_streams().map_err(WorkerError::Streams)?;
        Ok(Self(Streams::new(input, output, payload_max)))
    }
}

impl Relay for Pipes {
    fn receive(&mut self) -> Result<Option<Frame>, WorkerError> {
        self.0.receive()
    }

    fn arrived(&mut self) -> Result<Option<Frame>, WorkerError> {
        loop {
            if let Some(frame) = self.0.arrived()? {
                return Ok(Some(frame));
            }
            let ready = process::is_readable(self.0.input.as_fd()).map_err(WorkerError::Read)?;
            if !ready || !self.0.read()? {
                return Ok(None);
            }
        }
    }

    fn send(&mut self, frame: &Frame) -> Result<(), WorkerError> {
        self.0.send(frame)
    }
}
