//! The Goridge frame: the bytes that workers, of ours and foreign ones, are spoken to with.
//!
//! A decoder never allocates what a header merely claims: its buffer grows with the bytes that
//! arrived. Once it has refused something it refuses for ever, and how the bytes were cut into
//! pieces changes neither the frames nor the final error.

#[cfg(test)]
mod tests;

/// Bytes of a header without options.
const HEADER_BYTES: usize = 12;
/// Version this codec speaks.
const VERSION: u8 = 1;
/// Words of a header without options.
const HEADER_WORDS_MIN: u8 = 3;
/// Words of the longest header.
const HEADER_WORDS_MAX: u8 = 13;
/// Most bytes of stray text that are quoted.
const QUOTE_BYTES_MAX: usize = 512;
/// A drained buffer larger than this is given back.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// One frame.
///
/// ```
/// use dispatcher_core::frame::{Decoder, Frame};
/// let mut bytes = Vec::new();
/// Frame::task(b"", b"OK").encode(&mut bytes);
/// let mut decoder = Decoder::new(1024);
/// decoder.push(&bytes);
/// let frame = decoder.next()?.expect("a whole frame was pushed");
/// assert_eq!(frame.context_and_body()?, (&b""[..], &b"OK"[..]));
/// # Ok::<(), dispatcher_core::frame::FrameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// What the payload is: [`Frame::CONTROL`], [`Frame::JSON`], …
    pub flags: u8,
    /// Where a stream stands: [`Frame::STREAM`], [`Frame::STOP`], …
    pub stream: u8,
    /// At most [`Frame::OPTIONS_MAX`] words; a task or reply has one, the length of its context.
    pub options: Vec<u32>,
    /// Context and body, or a message.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Flag: between host and worker, not for the job.
    pub const CONTROL: u8 = 0x01;
    /// Flag: bytes without a format.
    pub const RAW: u8 = 0x04;
    /// Flag: JSON.
    pub const JSON: u8 = 0x08;
    /// Flag: MessagePack.
    pub const MSGPACK: u8 = 0x10;
    /// Flag: Go's gob.
    pub const GOB: u8 = 0x20;
    /// Flag: a soft error; the worker lives on.
    pub const ERROR: u8 = 0x40;
    /// Flag: Protocol Buffers.
    pub const PROTO: u8 = 0x80;

    /// Stream bit: more chunks follow.
    pub const STREAM: u8 = 0x01;
    /// Stream bit: the host cancels the stream.
    pub const STOP: u8 = 0x02;
    /// Stream bit: are you there?
    pub const PING: u8 = 0x04;
    /// Stream bit: the host is there.
    pub const PONG: u8 = 0x08;

    /// Most options of a frame.
    pub const OPTIONS_MAX: usize = (HEADER_WORDS_MAX - HEADER_WORDS_MIN) as usize;

    const STOP_TEXT: &[u8] = br#"{"stop":true}"#;

    /// A control frame with JSON.
    #[must_use]
    pub fn control(payload: Vec<u8>) -> Self {
        Self {
            flags: Self::CONTROL | Self::JSON,
            payload,
            ..Self::default()
        }
    }

    /// A task, or a reply to one: the two look alike.
    ///
    /// # Panics
    /// When the context has 4 GiB or more.
    #[must_use]
    pub fn task(context: &[u8], body: &[u8]) -> Self {
        let length = u32::try_from(context.len()).expect("invariant: a context is below 4 GiB");
        Self {
            options: vec![length],
            payload: [context, body].concat(),
            ..Self::default()
        }
    }

    /// A soft error.
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self {
            flags: Self::ERROR,
            payload: text.into().into_bytes(),
            ..Self::default()
        }
    }

    /// The host's first frame: who are you?
    #[must_use]
    pub fn pid_request(host: u32) -> Self {
        Self::control(format!(r#"{{"pid":{host}}}"#).into_bytes())
    }

    /// A foreign worker's answer to [`Frame::pid_request`].
    #[must_use]
    pub fn pid_reply(worker: u32) -> Self {
        Self {
            flags: Self::CONTROL,
            ..Self::pid_request(worker)
        }
    }

    /// The host's request to end.
    #[must_use]
    pub fn stop() -> Self {
        Self::control(Self::STOP_TEXT.to_vec())
    }

    /// A worker's request to be stopped and replaced.
    #[must_use]
    pub fn stop_reply() -> Self {
        Self::task(Self::STOP_TEXT, b"")
    }

    /// Whether this is the host's request to end.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        self.is_control() && self.payload == Self::STOP_TEXT
    }

    /// Whether this is a worker's request to be stopped.
    #[must_use]
    pub fn is_stop_reply(&self) -> bool {
        !self.is_control()
            && !self.is_error()
            && self.context_and_body() == Ok((Self::STOP_TEXT, &[][..]))
    }

    /// One chunk of a stream that goes on.
    #[must_use]
    pub fn chunk(body: &[u8]) -> Self {
        Self {
            stream: Self::STREAM,
            ..Self::task(b"", body)
        }
    }

    /// The host wants no more chunks.
    #[must_use]
    pub fn stream_cancel() -> Self {
        Self {
            stream: Self::STOP,
            ..Self::default()
        }
    }

    /// The host's answer to a chunk with [`Frame::PING`].
    #[must_use]
    pub fn pong() -> Self {
        Self {
            stream: Self::PONG,
            ..Self::default()
        }
    }

    /// Whether it is between host and worker.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.flags & Self::CONTROL != 0
    }

    /// Whether it is a soft error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.flags & Self::ERROR != 0
    }

    /// Takes the payload of a task or reply apart.
    ///
    /// # Errors
    /// When there is not exactly one option, or it points beyond the payload.
    pub fn context_and_body(&self) -> Result<(&[u8], &[u8]), FrameError> {
        let refused = || FrameError::Context {
            options: self.options.clone(),
            payload: self.payload.len(),
        };
        let [length] = self.options[..] else {
            return Err(refused());
        };
        usize::try_from(length)
            .ok()
            .and_then(|length| self.payload.split_at_checked(length))
            .ok_or_else(refused)
    }

    /// Appends the frame's bytes.
    ///
    /// # Panics
    /// When there are more than [`Frame::OPTIONS_MAX`] options, or the payload has 4 GiB or more.
    pub fn encode(&self, to: &mut Vec<u8>) {
        assert!(
            self.options.len() <= Self::OPTIONS_MAX,
            "invariant: a frame has at most {} options",
            Self::OPTIONS_MAX
        );
        let length =
            u32::try_from(self.payload.len()).expect("invariant: a payload is below 4 GiB");
        let words = HEADER_WORDS_MIN + u8::try_from(self.options.len()).unwrap_or(u8::MAX);
        to.reserve(HEADER_BYTES + 4 * self.options.len() + self.payload.len());
        let mut sealed = [VERSION << 4 | words, self.flags, 0, 0, 0, 0];
        sealed[2..].copy_from_slice(&length.to_le_bytes());
        to.extend_from_slice(&sealed);
        to.extend_from_slice(&crc32fast::hash(&sealed).to_le_bytes());
        to.extend_from_slice(&[self.stream, 0]);
        for option in &self.options {
            to.extend_from_slice(&option.to_le_bytes());
        }
        to.extend_from_slice(&self.payload);
    }
}

/// Why bytes are no frame. The link they came over cannot be used any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Something printed text to where frames belong.
    #[error("text where a frame should be (was something printed to stdout?): {quote:?}")]
    StrayText {
        /// The text, at most 512 bytes of it so far.
        quote: String,
    },
    /// Another version, or no frame at all.
    #[error("no frame: version {found} where version 1 should be")]
    Version {
        /// What stands there.
        found: u8,
    },
    /// A header that is too short or too long.
    #[error("no frame: a header of {words} words, where 3 to 13 are allowed")]
    HeaderLength {
        /// Words of 32 bits.
        words: u8,
    },
    /// The checksum of the header is wrong.
    #[error("no frame: the header's checksum is {found:08x} and should be {expected:08x}")]
    Checksum {
        /// Computed.
        expected: u32,
        /// As received.
        found: u32,
    },
    /// Bits are set that have no meaning.
    #[error("no frame: bytes 10 and 11 of the header are {found:04x}, with bits that mean nothing")]
    Reserved {
        /// Both bytes, the first one high.
        found: u16,
    },
    /// The header announces more than is accepted.
    #[error("a frame of {length} bytes, where at most {max} are accepted")]
    PayloadTooLarge {
        /// Announced length.
        length: u32,
        /// Largest accepted.
        max: usize,
    },
    /// A task or reply does not say where its context ends.
    #[error("no task: options {options:?} for a payload of {payload} bytes")]
    Context {
        /// As received.
        options: Vec<u32>,
        /// Bytes of payload.
        payload: usize,
    },
}

/// Finds frames in bytes that arrive in pieces.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the next frame begins in `buffer`.
    start: usize,
    payload_max: usize,
    /// From now on `buffer[start..]` is only something to quote.
    failed: bool,
}

impl Decoder {
    /// A decoder that accepts payloads of up to `payload_max` bytes.
    #[must_use]
    pub fn new(payload_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            payload_max,
            failed: false,
        }
    }

    /// Accepts payloads of up to so many bytes from now on.
    pub fn accept(&mut self, payload_max: usize) {
        self.payload_max = payload_max;
    }

    /// Takes bytes in. Call [`Decoder::next`] until it answers `None` after each piece.
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = if self.failed {
            let room = QUOTE_BYTES_MAX.saturating_sub(self.buffer.len() - self.start);
            &bytes[..room.min(bytes.len())]
        } else {
            bytes
        };
        if self.start > 0 && self.start >= self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until more bytes arrive.
    ///
    /// # Errors
    /// When the bytes are no frame. Every later call fails as well; a [`FrameError::StrayText`]
    /// quotes more of the text when more was pushed meanwhile.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would end at `None`, which here means not yet"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        match self.read() {
            Ok(None) => Ok(None),
            Ok(Some((frame, length))) => {
                self.start += length;
                Ok(Some(frame))
            }
            Err(error) => {
                self.failed = true;
                let end = self.buffer.len().min(self.start + QUOTE_BYTES_MAX);
                self.buffer.truncate(end);
                let rest = &self.buffer[self.start..];
                Err(match error {
                    FrameError::PayloadTooLarge { .. } => error,
                    error => quoted(rest).map_or(error, |quote| FrameError::StrayText { quote }),
                })
            }
        }
    }

    /// Whether a frame has begun and not ended, as of the last [`Decoder::next`]. A worker that
    /// leaves a frame like that is stuck; the caller sets it a deadline.
    #[must_use]
    pub fn half_received(&self) -> bool {
        !self.failed && self.start < self.buffer.len()
    }

    /// Bytes received of the frame that has begun; a caller that sees it grow may extend a deadline.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The frame at `start` with its length in bytes.
    fn read(&self) -> Result<Option<(Frame, usize)>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some(&first) = rest.first() else {
            return Ok(None);
        };
        // What the first byte says is checked at once: stray text may be shorter than a header.
        let words = first & 0x0f;
        if first >> 4 != VERSION {
            return Err(FrameError::Version { found: first >> 4 });
        }
        if !(HEADER_WORDS_MIN..=HEADER_WORDS_MAX).contains(&words) {
            return Err(FrameError::HeaderLength { words });
        }
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = self.check(header)?;
        let options_bytes = 4 * usize::from(words - HEADER_WORDS_MIN);
        let Some((options, rest)) = rest.split_at_checked(options_bytes) else {
            return Ok(None);
        };
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = Frame {
            flags: header[1],
            stream: header[10],
            options: options
                .as_chunks::<4>()
                .0
                .iter()
                .map(|word| u32::from_le_bytes(*word))
                .collect(),
            payload: payload.to_vec(),
        };
        Ok(Some((frame, HEADER_BYTES + options_bytes + length)))
    }

    /// Length of the payload that a header announces, once everything in it was found good.
    fn check(&self, header: &[u8; HEADER_BYTES]) -> Result<usize, FrameError> {
        let [_, _, l0, l1, l2, l3, c0, c1, c2, c3, stream, zero] = *header;
        let expected = crc32fast::hash(&header[..6]);
        let found = u32::from_le_bytes([c0, c1, c2, c3]);
        if found != expected {
            return Err(FrameError::Checksum { expected, found });
        }
        let known = Frame::STREAM | Frame::STOP | Frame::PING | Frame::PONG;
        if stream & !known != 0 || zero != 0 {
            return Err(FrameError::Reserved {
                found: u16::from_be_bytes([stream, zero]),
            });
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.payload_max)
            .ok_or(FrameError::PayloadTooLarge {
                length,
                max: self.payload_max,
            })
    }
}

/// The bytes as text, if they are text as far as a header reaches.
fn quoted(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(HEADER_BYTES)];
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character that the cut split in two is no mistake.
        Err(error) => error.error_len().is_none(),
    };
    let printable =
        |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b | 0x20..=0x7e | 0x80..=0xff);
    (is_utf8 && head.iter().all(printable)).then(|| String::from_utf8_lossy(bytes).into_owned())
}
