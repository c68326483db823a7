//! From the bytes of a worker's channel to what it says.
//!
//! Workers of ours speak in CONTROL frames, and answer direct requests as foreign ones do. Whoever
//! breaks the protocol is not listened to any more.

use dispatcher_core::engine::Word;
use dispatcher_core::frame::{Decoder, Frame};
use dispatcher_core::limits::{FRAME_BYTES_MAX, OUTPUT_BYTES_MAX};
use dispatcher_core::message::{PROTOCOL_VERSION, WorkResult, WorkerMessage};
use serde::Deserialize;

use crate::pool::Reply;

/// What came from a worker.
pub(crate) enum Heard {
    Word(Word),
    Progress {
        fraction: f64,
        text: String,
    },
    /// A piece of a stream; with `ping`, the worker wants to know whether anybody listens.
    Chunk {
        body: Vec<u8>,
        ping: bool,
    },
    /// The reply to a direct request; the word follows.
    Reply(Reply),
    Broken(String),
}

/// What a worker was given last, and has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    Nothing,
    Job,
    Request,
}

/// Listens to one worker.
pub(crate) struct Hearing {
    decoder: Option<Decoder>,
    tongue: Tongue,
    pub(crate) given: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tongue {
    Ours,
    /// Goridge and nothing else; `greeted` once it has told its pid.
    Goridge {
        greeted: bool,
    },
}

/// A foreign worker's first words.
#[derive(Deserialize)]
struct Pid {
    #[serde(rename = "pid")]
    _pid: u32,
}

impl Hearing {
    /// Of a worker of ours.
    pub(crate) fn new() -> Self {
        Self::of(FRAME_BYTES_MAX, Tongue::Ours)
    }

    /// Of a worker of ours in a pool, which answers direct requests too.
    pub(crate) fn in_pool(frame_bytes_max: usize) -> Self {
        Self::of(frame_bytes_max.max(FRAME_BYTES_MAX), Tongue::Ours)
    }

    /// Of a foreign worker.
    pub(crate) fn of_foreign(frame_bytes_max: usize) -> Self {
        Self::of(frame_bytes_max, Tongue::Goridge { greeted: false })
    }

    fn of(frame_bytes_max: usize, tongue: Tongue) -> Self {
        Self {
            decoder: Some(Decoder::new(frame_bytes_max)),
            tongue,
            given: Given::Nothing,
        }
    }

    /// Takes bytes as they come, and adds what they say.
    pub(crate) fn take(&mut self, bytes: &[u8], heard: &mut Vec<Heard>) {
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        decoder.push(bytes);
        loop {
            let Some(decoder) = &mut self.decoder else {
                return;
            };
            let next = decoder.next();
            match next {
                Ok(Some(frame)) => self.read(frame, heard),
                Ok(None) => return,
                Err(error) => heard.push(Heard::Broken(error.to_string())),
            }
            if matches!(heard.last(), Some(Heard::Broken(_))) {
                self.decoder = None;
            }
        }
    }

    /// Bytes of a frame that has begun and not ended.
    pub(crate) fn half_received(&self) -> Option<usize> {
        let decoder = self.decoder.as_ref()?;
        decoder.half_received().then(|| decoder.pending_bytes())
    }

    fn read(&mut self, frame: Frame, heard: &mut Vec<Heard>) {
        match self.tongue {
            Tongue::Ours if frame.is_control() => heard.push(self.control(&frame)),
            Tongue::Ours if self.given == Given::Request => self.reply(frame, heard),
            Tongue::Ours => heard.push(broken("a frame without the CONTROL flag")),
            Tongue::Goridge { greeted: false } => heard.push(self.greeting(&frame)),
            Tongue::Goridge { greeted: true } if frame.is_control() => {
                heard.push(broken("a control frame that nobody asked for"));
            }
            Tongue::Goridge { greeted: true } => self.reply(frame, heard),
        }
    }

    fn greeting(&mut self, frame: &Frame) -> Heard {
        let greets = frame.is_control() && serde_json::from_slice::<Pid>(&frame.payload).is_ok();
        if !greets {
            return broken("no pid, which is the first thing that a worker says");
        }
        self.tongue = Tongue::Goridge { greeted: true };
        Heard::Word(Word::Hello)
    }

    fn control(&mut self, frame: &Frame) -> Heard {
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
            Ok(WorkerMessage::Used(usage)) => Heard::Word(Word::Used(usage)),
            Ok(WorkerMessage::Result(result)) => {
                self.given = Given::Nothing;
                Heard::Word(Word::Result(result))
            }
            Ok(WorkerMessage::Ready { failure }) => Heard::Word(Word::Ready { failure }),
            Err(error) => Heard::Broken(format!("an unreadable message: {error}")),
        }
    }

    /// An answer to what it was given.
    fn reply(&mut self, frame: Frame, heard: &mut Vec<Heard>) {
        if self.given == Given::Nothing {
            heard.push(broken("an answer to nothing"));
            return;
        }
        if frame.is_stop_reply() {
            self.given = Given::Nothing;
            heard.push(Heard::Word(Word::Unwanted));
            return;
        }
        if frame.is_error() {
            let text = String::from_utf8_lossy(&frame.payload).into_owned();
            self.answer(Err(text), heard);
            return;
        }
        let (context, body) = match frame.context_and_body() {
            Ok((context, body)) => (context.to_vec(), body.to_vec()),
            Err(error) => {
                heard.push(Heard::Broken(error.to_string()));
                return;
            }
        };
        if frame.stream & Frame::STREAM != 0 {
            let ping = frame.stream & Frame::PING != 0;
            heard.push(Heard::Chunk { body, ping });
            return;
        }
        let flags = frame.flags;
        self.answer(
            Ok(Reply {
                flags,
                context,
                body,
            }),
            heard,
        );
    }

    fn answer(&mut self, answer: Result<Reply, String>, heard: &mut Vec<Heard>) {
        let given = std::mem::replace(&mut self.given, Given::Nothing);
        match (given, answer) {
            (Given::Request, Ok(reply)) => {
                heard.push(Heard::Reply(reply));
                heard.push(Heard::Word(Word::Replied));
            }
            (Given::Request, Err(text)) => heard.push(Heard::Word(Word::Refused(text))),
            (Given::Job, Ok(reply)) => job_done(reply.body, heard),
            (Given::Job, Err(message)) => heard.push(failed(message)),
            (Given::Nothing, _) => {}
        }
        if self.tongue != Tongue::Ours {
            // It says so with its answer.
            heard.push(Heard::Word(Word::Ready { failure: None }));
        }
    }
}

/// A foreign worker has done a job: what it answered is the job's output.
fn job_done(body: Vec<u8>, heard: &mut Vec<Heard>) {
    if body.is_empty() {
        heard.push(Heard::Word(Word::Result(WorkResult::Succeeded)));
        return;
    }
    let text = String::from_utf8_lossy(&body);
    let value = match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => text.into_owned(),
        // A text of its own.
        Err(_) => serde_json::Value::from(text.as_ref()).to_string(),
    };
    if value.len() > OUTPUT_BYTES_MAX {
        heard.push(failed(format!(
            "its answer of {} bytes is larger than {OUTPUT_BYTES_MAX}, the limit of an output",
            value.len()
        )));
        return;
    }
    heard.push(Heard::Word(Word::Output(value)));
    heard.push(Heard::Word(Word::Result(WorkResult::Succeeded)));
}

fn failed(message: String) -> Heard {
    Heard::Word(Word::Result(WorkResult::Failed {
        message,
        causes: Vec::new(),
        retry_after_ms: None,
    }))
}

fn broken(what: &str) -> Heard {
    Heard::Broken(what.to_owned())
}
