//! The frame codec: every cut gives the same frames, and frames are the bytes they were read from.

use dispatcher_core::frame::{Decoder, Frame, FrameError};

use crate::allocations::allocated;
use crate::driver::{Seen, fuzz};

/// Largest payload that is accepted here; lengths beyond it are refused, those below are lies.
const PAYLOAD_MAX: usize = 1 << 30;
/// Bytes of a header without options.
const HEADER: usize = 12;

#[test]
fn frames() {
    fuzz("frames", |bytes| {
        check(bytes);
        // Nearly every change spoils a checksum; behind it may be something worth reading.
        check(&mended(bytes))
    });
}

/// Every frame, and the last error.
type Reading = (Vec<Frame>, Option<FrameError>);

fn check(bytes: &[u8]) -> Seen {
    let (whole, asked) = allocated(|| read(&[bytes]));
    // The buffer, the payloads, options as words, and a text that is quoted.
    let most = 8 * bytes.len() + 4096;
    assert!(asked <= most, "{asked} bytes for {}", bytes.len());
    for cut in cuts(bytes) {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(read(&[front, back]), whole, "cut at {cut}");
    }
    let singly: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&singly), whole, "byte by byte");

    let (frames, error) = &whole;
    let mut written = Vec::new();
    for frame in frames {
        frame.encode(&mut written);
        if let Ok((context, body)) = frame.context_and_body() {
            let task = Frame::task(context, body);
            assert_eq!(
                (&task.options, &task.payload),
                (&frame.options, &frame.payload)
            );
        }
    }
    assert!(bytes.starts_with(&written), "{frames:?}");
    let kinds = frames.iter().take(3);
    let kinds: Vec<_> = kinds
        .map(|frame| (frame.flags, frame.stream, frame.options.len()))
        .collect();
    Seen::of((kinds, error.as_ref().map(std::mem::discriminant)))
}

fn read(pieces: &[&[u8]]) -> Reading {
    let mut decoder = Decoder::new(PAYLOAD_MAX);
    let mut frames = Vec::new();
    let mut error = None;
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    assert_eq!(error, None, "a frame after an error");
                    frames.push(frame);
                }
                Ok(None) => {
                    assert_eq!(error, None, "an error that was forgotten");
                    break;
                }
                Err(found) => {
                    assert!(!found.to_string().is_empty());
                    error = Some(found);
                    break;
                }
            }
        }
    }
    (frames, error)
}

/// All cuts of a short input, some of a long one.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let step = 1 + bytes.len() / 200;
    (0..=bytes.len()).step_by(step)
}

/// The same bytes with the checksum that each header should have.
pub(crate) fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = mended.get_mut(at..at + HEADER) {
        let words = usize::from(header[0] & 0x0f);
        let checksum = crc32(&header[..6]);
        header[6..10].copy_from_slice(&checksum.to_le_bytes());
        header[10] &= 0x0f;
        header[11] = 0;
        let mut length = [0; 4];
        length.copy_from_slice(&header[2..6]);
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        at = (at + HEADER.max(4 * words)).saturating_add(length);
    }
    mended
}

/// CRC-32 as in IEEE 802.3, bit by bit: an oracle that shares nothing with the codec's.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}
