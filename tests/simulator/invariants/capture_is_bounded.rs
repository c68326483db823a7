//! Captured output ≤ its limit, whatever was written.

use dispatcher_core::limits::{CAPTURE_HEAD_BYTES, CAPTURE_TAIL_BYTES, OUTPUT_BYTES_MAX};

use crate::simulator::ledger::{Moment, Operation};

pub(super) fn check(moment: &Moment<'_>) -> Result<(), String> {
    let Operation::Record(record, _) = moment.operation else {
        return Ok(());
    };
    for stream in [&record.capture.stdout, &record.capture.stderr] {
        if stream.head.len() > CAPTURE_HEAD_BYTES || stream.tail.len() > CAPTURE_TAIL_BYTES {
            let (head, tail) = (stream.head.len(), stream.tail.len());
            return Err(format!("{}: {head} + {tail} bytes", record.job));
        }
    }
    match &record.output {
        Some(output) if output.len() > OUTPUT_BYTES_MAX => Err(format!(
            "{}: an output of {} bytes",
            record.job,
            output.len()
        )),
        Some(_) | None => Ok(()),
    }
}
