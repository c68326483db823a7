//! From the bytes of a worker's control channel to what it says.
//!
//! Whoever breaks the protocol is not listened to any more.

use dispatcher_core::engine::Word;
use dispatcher_core::frame::{Decoder, Frame};
use dispatcher_core::limits::FRAME_BYTES_MAX;
use dispatcher_core::message::{PROTOCOL_VERSION, WorkerMessage};

/// What came from a worker.
pub(crate) enum Heard {
    Word(Word),
    Progress { fraction: f64, text: String },
    Broken(String),
}

/// Listens to one worker.
pub(crate) struct Hearing {
    decoder: Option<Decoder>,
}

impl Hearing {
    pub(crate) fn new() -> Self {
        Self {
            decoder: Some(Decoder::new(FRAME_BYTES_MAX)),
        }
    }

    /// Takes bytes as they come, and adds what they say.
    pub(crate) fn take(&mut self, bytes: &[u8], heard: &mut Vec<Heard>) {
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        decoder.push(bytes);
        loop {
            let said = match decoder.next() {
                Ok(Some(frame)) => read(&frame),
                Ok(None) => return,
                Err(error) => Heard::Broken(error.to_string()),
            };
            let broken = matches!(said, Heard::Broken(_));
            heard.push(said);
            if broken {
                self.decoder = None;
                return;
            }
        }
    }
}

fn read(frame: &Frame) -> Heard {
    if !frame.is_control() {
        return Heard::Broken("a frame without the CONTROL flag".into());
    }
    match serde_json::from_slice(&frame.payload) {
        Ok(WorkerMessage::Hello {
            protocol: PROTOCOL_VERSION,
            ..
        }) => Heard::Word(Word::Hello),
        Ok(WorkerMessage::Hello { protocol, .. }) => Heard::Broken(format!(
            "it speaks version {protocol}, not {PROTOCOL_VERSION}"
        )),
        Ok(WorkerMessage::Progress { fraction, text }) => Heard::Progress { fraction, text },
        Ok(WorkerMessage::Output { value }) => Heard::Word(Word::Output(value)),
        Ok(WorkerMessage::Result(result)) => Heard::Word(Word::Result(result)),
        Err(error) => Heard::Broken(format!("an unreadable message: {error}")),
    }
}
