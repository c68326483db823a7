//! Long messages in pieces: split for sending, put together on arrival.
//!
//! What has come of unfinished messages is bounded in number, size and age, and the oldest go
//! first; whatever was sent before, a message that comes whole is read.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::json::{Json, push_escaped};

/// Key that marks a piece, and its version.
const MARK: &str = "__dispatcherd_chunk__";
const VERSION: &str = "v1";

/// Largest message that PostgreSQL notifies: its 8000 bytes include a null byte.
#[cfg(any(feature = "pg_notify", test))]
pub(crate) const NOTIFY_BYTES_MAX: usize = 7_999;
/// Largest line that the original reads from a socket at once.
pub(crate) const LINE_BYTES_MAX: usize = 1_024;
/// A message whose pieces have not come after this time is given up.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(1_800);
/// Largest message that is put together: the payload's limit, escaped, and more.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages of which pieces have come.
const MESSAGES_MAX: usize = 1_000;
/// Bytes of all of them.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Pieces of one message.
const PIECES_MAX: usize = 100_000;
/// Longest id of a message.
const ID_BYTES_MAX: usize = 256;
/// What is counted for a piece besides its text.
const PIECE_COST: usize = 64;

/// The message, or its pieces if it is longer than `bytes_max`; in order.
///
/// The message must be ASCII, as everything is that this service writes.
pub(crate) fn split(message: &str, id: &str, bytes_max: usize) -> Vec<String> {
    if message.len() <= bytes_max {
        return vec![message.to_owned()];
    }
    // There are no more pieces than bytes.
    let frame = piece(id, message.len(), message.len(), "").len();
    let room = bytes_max.saturating_sub(frame).max(12);
    let mut texts = vec![String::new()];
    for letter in message.chars() {
        let mut escaped = String::new();
        push_escaped(letter, &mut escaped);
        if let Some(last) = texts.last()
            && last.len() + escaped.len() > room
        {
            texts.push(String::new());
        }
        if let Some(last) = texts.last_mut() {
            last.push_str(&escaped);
        }
    }
    let total = texts.len();
    let pieces = texts.iter().enumerate();
    pieces
        .map(|(index, text)| piece(id, index, total, text))
        .collect()
}

/// A piece, of a text that is escaped already.
fn piece(id: &str, index: usize, total: usize, text: &str) -> String {
    format!(
        "{{\"{MARK}\":\"{VERSION}\",\"message_id\":\"{id}\",\"index\":{index},\"total\":{total},\
         \"payload\":\"{text}\"}}"
    )
}

/// What came of a message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// It is no piece.
    Whole(Json),
    /// It completed this one.
    Completed(Json),
    /// More must come.
    Kept,
    /// It is of no use.
    Refused(PieceError),
}

/// Why a piece was of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PieceError {
    #[error("a piece of a message in a version that is not spoken here")]
    Version,
    #[error("a piece of a message without a proper id, index, total or payload")]
    Odd,
    #[error("a piece beyond the limits: of {pieces} pieces, {bytes} bytes so far")]
    TooLarge { pieces: usize, bytes: usize },
    #[error("pieces of one message that disagree about how many there are")]
    Disagree,
    #[error("the pieces together are no message")]
    NoMessage,
}

/// What was counted, by the names that the original has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) completed: u64,
    pub(crate) refused: u64,
    pub(crate) expired: u64,
}

/// Puts messages together. Times are given by the caller, and never go back.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    partials: BTreeMap<String, Partial>,
    /// Ids by age, the oldest first; an id that is gone is passed over.
    order: VecDeque<(String, u64)>,
    started: u64,
    bytes: usize,
    counts: Counts,
}

#[derive(Debug)]
struct Partial {
    number: u64,
    since: Duration,
    total: usize,
    pieces: BTreeMap<usize, String>,
    bytes: usize,
}

impl Assembler {
    /// Takes up what was read at a time.
    pub(crate) fn take(&mut self, message: Json, now: Duration) -> Piece {
        self.expire(now);
        if message.get(MARK).is_none() {
            return Piece::Whole(message);
        }
        self.counts.received += 1;
        let piece = match self.piece(&message, now) {
            Ok(piece) => piece,
            Err(error) => Piece::Refused(error),
        };
        match &piece {
            Piece::Whole(_) | Piece::Kept => {}
            Piece::Completed(_) => self.counts.completed += 1,
            Piece::Refused(_) => self.counts.refused += 1,
        }
        piece
    }

    fn piece(&mut self, message: &Json, now: Duration) -> Result<Piece, PieceError> {
        if message.get(MARK).and_then(Json::as_str) != Some(VERSION) {
            return Err(PieceError::Version);
        }
        let number = |key| message.get(key).and_then(Json::as_usize);
        let text = match message.get("payload") {
            // Half of a surrogate pair cannot be put together again.
            Some(payload) => payload.as_str(),
            None => Some(""),
        };
        let id = message.get("message_id").and_then(Json::as_str);
        let (Some(id), Some(index), Some(total), Some(text)) =
            (id, number("index"), number("total"), text)
        else {
            return Err(PieceError::Odd);
        };
        if index >= total || id.len() > ID_BYTES_MAX {
            return Err(PieceError::Odd);
        }
        if total > PIECES_MAX {
            return Err(PieceError::TooLarge {
                pieces: total,
                bytes: text.len(),
            });
        }
        self.keep(id, total, now)?;
        let Some(partial) = self.partials.get_mut(id) else {
            return Err(PieceError::Odd);
        };
        let cost = text.len() + PIECE_COST;
        let before = partial.pieces.insert(index, text.to_owned());
        let freed = before.map_or(0, |before| before.len() + PIECE_COST);
        partial.bytes = partial.bytes + cost - freed;
        self.bytes = self.bytes + cost - freed;
        if partial.bytes - partial.pieces.len() * PIECE_COST > MESSAGE_BYTES_MAX {
            let bytes = partial.bytes;
            self.forget(id);
            return Err(PieceError::TooLarge {
                pieces: total,
                bytes,
            });
        }
        if partial.pieces.len() < total {
            self.make_room();
            return Ok(Piece::Kept);
        }
        let whole: String = std::mem::take(&mut partial.pieces).into_values().collect();
        self.forget(id);
        match Json::read(&whole) {
            Ok(message @ Json::Object(_)) => Ok(Piece::Completed(message)),
            Ok(_) | Err(_) => Err(PieceError::NoMessage),
        }
    }

    /// Makes sure that there is an entry for a message.
    fn keep(&mut self, id: &str, total: usize, now: Duration) -> Result<(), PieceError> {
        if let Some(partial) = self.partials.get(id) {
            if partial.total == total {
                return Ok(());
            }
            self.forget(id);
            return Err(PieceError::Disagree);
        }
        self.started += 1;
        self.order.push_back((id.to_owned(), self.started));
        self.partials.insert(
            id.to_owned(),
            Partial {
                number: self.started,
                since: now,
                total,
                pieces: BTreeMap::new(),
                bytes: 0,
            },
        );
        Ok(())
    }

    /// Gives up what is too old.
    pub(crate) fn expire(&mut self, now: Duration) {
        while let Some(oldest) = self.oldest()
            && now.saturating_sub(oldest.1) >= AGE_MAX
        {
            self.give_up(&oldest.0);
        }
    }

    /// Gives up the oldest while there is too much.
    fn make_room(&mut self) {
        while self.partials.len() > MESSAGES_MAX || self.bytes > BYTES_MAX {
            let Some((oldest, _)) = self.oldest() else {
                break;
            };
            self.give_up(&oldest);
        }
    }

    fn give_up(&mut self, id: &str) {
        self.counts.expired += 1;
        self.forget(id);
    }

    fn forget(&mut self, id: &str) {
        if let Some(partial) = self.partials.remove(id) {
            self.bytes = self.bytes.saturating_sub(partial.bytes);
        }
        // So that the order does not grow with what has come whole.
        if self.order.len() > 2 * MESSAGES_MAX {
            let partials = &self.partials;
            self.order
                .retain(|(id, number)| partials.get(id).is_some_and(|it| it.number == *number));
        }
    }

    fn oldest(&mut self) -> Option<(String, Duration)> {
        loop {
            let (id, number) = self.order.front()?;
            if let Some(partial) = self.partials.get(id)
                && partial.number == *number
            {
                return Some((id.clone(), partial.since));
            }
            self.order.pop_front();
        }
    }

    /// What was counted so far.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// As the command `chunks` tells it.
    pub(crate) fn status(&self) -> Json {
        let Counts {
            received,
            completed,
            refused,
            expired,
        } = self.counts;
        Json::object([
            ("total_chunks_received", received.into()),
            ("successful_assemblies", completed.into()),
            ("errored_assemblies", refused.into()),
            ("timed_out_assemblies", expired.into()),
            ("active_messages", self.partials.len().into()),
        ])
    }

    /// What has come of messages that are unfinished.
    pub(crate) fn partials(&self, now: Duration) -> Json {
        let partials = self.partials.iter().map(|(id, partial)| {
            let pieces = partial.pieces.iter().map(|(index, text)| {
                let length = text.chars().count();
                Json::object([("chunk_id", (*index).into()), ("length", length.into())])
            });
            let age = now.saturating_sub(partial.since).as_secs_f64();
            let told = Json::object([
                ("seconds_since_start", age.into()),
                ("expected_total", partial.total.into()),
                ("chunks", Json::List(pieces.collect())),
            ]);
            (id.clone(), told)
        });
        Json::object(partials)
    }
}
