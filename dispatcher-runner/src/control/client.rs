//! A command's end of the control socket.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{ANSWER_BYTES_MAX, Answer, Line, NAME, Request, VERSION, short};

/// Time for an answer that is not worked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A service could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Nobody listens: it is no service, has ended, or has not begun.
    #[error("nobody answers at its control socket")]
    Nobody,
    #[error("its control socket cannot be used")]
    Io(#[source] io::Error),
    #[error("its answer cannot be read; is it another version of this program?")]
    Odd(#[source] serde_json::Error),
    #[error("it speaks version {0} of the control socket, and this program {VERSION}")]
    Version(u32),
    /// It was understood, and was not done.
    #[error("{0}")]
    Refused(String),
}

impl From<io::Error> for ControlError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Nobody,
            _ => Self::Io(error),
        }
    }
}

/// Whether the supervisor with this directory is a service.
pub(crate) fn has_socket(directory: &Path) -> bool {
    directory.join(NAME).exists()
}

/// Asks the service whose supervisor has this directory, and waits for the answer: for a reset as
/// long as that takes.
///
/// # Errors
/// When nobody answers, the answer cannot be read, or it is a refusal.
pub(crate) fn ask(directory: &Path, request: Request) -> Result<Answer, ControlError> {
    let open = File::open(directory)?;
    let mut stream = UnixStream::connect(short(&open))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_read_timeout(match request {
        Request::Look | Request::Stop { .. } | Request::Metrics => Some(ANSWER_TIMEOUT),
        Request::Reset { .. } => None,
    })?;
    let line = Line {
        version: VERSION,
        body: request,
    };
    let mut bytes = serde_json::to_vec(&line).map_err(ControlError::Odd)?;
    bytes.push(b'\n');
    stream.write_all(&bytes)?;
    let mut line = Vec::new();
    let mut limited = BufReader::new(stream).take(ANSWER_BYTES_MAX);
    limited.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(ControlError::Nobody);
    }
    let line: Line<serde_json::Value> = serde_json::from_slice(&line).map_err(ControlError::Odd)?;
    if line.version != VERSION {
        return Err(ControlError::Version(line.version));
    }
    match serde_json::from_value(line.body).map_err(ControlError::Odd)? {
        Answer::Refused { why } => Err(ControlError::Refused(why)),
        answer @ (Answer::Seen(_) | Answer::Done | Answer::Metrics { .. }) => Ok(answer),
    }
}
