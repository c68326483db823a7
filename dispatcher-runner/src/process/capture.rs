//! What a job wrote to one stream, bounded: the first bytes, the last bytes, and how many between.
//!
//! Memory grows with what was written, never beyond head and twice the tail.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use dispatcher_core::JobId;
use dispatcher_core::limits::{CAPTURE_HEAD_BYTES, CAPTURE_TAIL_BYTES};

use crate::store::Stream;

/// Bytes after which the live file of a stream stops growing.
pub(crate) const LIVE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LIVE_NOTICE: &[u8] = b"\n[the live output ends here; its last part is kept with the job]\n";

/// Collects one stream of one attempt.
#[derive(Debug, Default)]
pub(crate) struct CaptureBuffer {
    head: Vec<u8>,
    /// Up to twice the tail, so that old bytes are moved out rarely.
    tail: Vec<u8>,
    dropped: u64,
    live: Option<Live>,
}

#[derive(Debug)]
struct Live {
    file: File,
    written: u64,
}

impl CaptureBuffer {
    /// A buffer that also appends to `live` while the job runs, for those who follow it.
    pub(crate) fn new(live: Option<File>) -> Self {
        Self {
            live: live.map(|file| Live { file, written: 0 }),
            ..Self::default()
        }
    }

    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.push_live(bytes);
        let room = CAPTURE_HEAD_BYTES - self.head.len();
        let (head, mut rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        if rest.len() > CAPTURE_TAIL_BYTES {
            let (gone, kept) = rest.split_at(rest.len() - CAPTURE_TAIL_BYTES);
            self.dropped += (self.tail.len() + gone.len()) as u64;
            self.tail.clear();
            rest = kept;
        }
        self.tail.extend_from_slice(rest);
        if self.tail.len() > 2 * CAPTURE_TAIL_BYTES {
            self.trim();
        }
    }

    /// What is kept.
    pub(crate) fn finish(mut self) -> Stream {
        self.trim();
        Stream {
            head: self.head,
            tail: self.tail,
            dropped: self.dropped,
        }
    }

    fn trim(&mut self) {
        let excess = self.tail.len().saturating_sub(CAPTURE_TAIL_BYTES);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }

    fn push_live(&mut self, bytes: &[u8]) {
        let Some(live) = &mut self.live else { return };
        let room = usize::try_from(LIVE_BYTES_MAX - live.written).unwrap_or(usize::MAX);
        let part = &bytes[..bytes.len().min(room)];
        let mut ended = live.file.write_all(part).is_err();
        live.written += part.len() as u64;
        if !ended && live.written == LIVE_BYTES_MAX {
            // A notice that cannot be written is missed by a follower only.
            let _ = live.file.write_all(LIVE_NOTICE);
            ended = true;
        }
        if ended {
            self.live = None;
        }
    }
}

/// Where the output of a running attempt can be followed; `stream` is `out` or `err`.
pub(crate) fn live_path(live: &Path, job: JobId, attempt: u32, stream: &str) -> PathBuf {
    live.join(format!("{job}.{attempt}.{stream}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(total: usize, piece: usize) -> (Vec<u8>, Stream) {
        let bytes: Vec<u8> = (0..total).map(|at| (at % 251) as u8).collect();
        let mut buffer = CaptureBuffer::new(None);
        for part in bytes.chunks(piece) {
            buffer.push(part);
        }
        (bytes, buffer.finish())
    }

    #[test]
    fn head_and_tail_are_kept_however_the_bytes_arrive() {
        let edge = CAPTURE_HEAD_BYTES + CAPTURE_TAIL_BYTES;
        for total in [
            0,
            1,
            CAPTURE_HEAD_BYTES,
            CAPTURE_HEAD_BYTES + 1,
            edge,
            edge + 1,
            3 * edge,
        ] {
            for piece in [977, 65_536, 10 * edge] {
                let (bytes, stream) = captured(total, piece);
                let head = total.min(CAPTURE_HEAD_BYTES);
                let tail = (total - head).min(CAPTURE_TAIL_BYTES);
                assert_eq!(stream.head, bytes[..head], "{total} by {piece}");
                assert_eq!(stream.tail, bytes[total - tail..], "{total} by {piece}");
                assert_eq!(stream.dropped, (total - head - tail) as u64);
            }
        }
    }

    #[test]
    fn the_live_file_stops_growing() {
        let mut file = tempfile::tempfile().unwrap();
        let mut buffer = CaptureBuffer::new(Some(file.try_clone().unwrap()));
        let piece = vec![b'x'; 1_000_003];
        for _ in 0..20 {
            buffer.push(&piece);
        }
        let mut text = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        std::io::Read::read_to_end(&mut file, &mut text).unwrap();
        assert_eq!(text.len() as u64, LIVE_BYTES_MAX + LIVE_NOTICE.len() as u64);
        assert!(text.ends_with(LIVE_NOTICE));
    }
}
