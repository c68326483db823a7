//! Where a command writes: standard output and error, each a terminal or not.
//!
//! All of the command line's output goes through here, so that a closed pipe ends a command
//! quietly and colours appear on terminals only.

use std::io::{self, IsTerminal as _, Write};

use super::error::{CliError, Stop};
use super::layout::{harmless, harmless_lines};
use crate::config::Surroundings;

/// Standard output and standard error.
pub(crate) struct Terminal {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Columns of the terminal that standard output is; `None` when it is none.
    width: Option<usize>,
    colours: Colours,
    /// Whether a line of progress may be drawn on standard error.
    progress: Progress,
    drawn: Drawn,
    job_output: JobOutput,
}

/// Where a job's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobOutput {
    /// To standard output.
    Out,
    /// To standard error, because standard output carries JSON.
    Err,
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    /// With ANSI sequences.
    On,
    /// Plain.
    Off,
}

/// Whether progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// On the last line of the terminal.
    Shown,
    /// Not at all.
    Hidden,
}

/// What stands on the terminal's last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drawn {
    Nothing,
    Progress,
    /// A line of the job's output without its end.
    Partial,
}

/// A colour with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// As it is.
    Plain,
    /// Went well.
    Good,
    /// Went badly.
    Bad,
    /// Needs attention.
    Odd,
    /// Under way.
    Busy,
    /// Less important.
    Dim,
    /// A heading.
    Strong,
}

impl Colour {
    fn sequence(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Bad => Some("31"),
            Self::Odd => Some("33"),
            Self::Busy => Some("36"),
            Self::Dim => Some("2"),
            Self::Strong => Some("1"),
        }
    }
}

impl Colours {
    /// The text in a colour.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        match (self, colour.sequence()) {
            (Self::On, Some(sequence)) => format!("\x1b[{sequence}m{text}\x1b[0m"),
            (Self::On, None) | (Self::Off, _) => text.to_owned(),
        }
    }
}

impl Terminal {
    /// That of this process.
    pub(crate) fn of_process(surroundings: &Surroundings) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let width = out.is_terminal().then(|| {
            let size = rustix::termios::tcgetwinsize(&out).map(|size| usize::from(size.ws_col));
            size.ok().filter(|columns| *columns > 0).unwrap_or(80)
        });
        let dumb = surroundings
            .variable("TERM")
            .is_some_and(|term| term == "dumb");
        let plain = dumb || surroundings.variable("NO_COLOR").is_some();
        Self {
            width,
            colours: if width.is_some() && !plain {
                Colours::On
            } else {
                Colours::Off
            },
            progress: if err.is_terminal() && !dumb {
                Progress::Shown
            } else {
                Progress::Hidden
            },
            out: Box::new(out),
            err: Box::new(err),
            drawn: Drawn::Nothing,
            job_output: JobOutput::Out,
        }
    }

    /// One that writes to the given places, as a pipe.
    #[cfg(test)]
    pub(crate) fn piped(out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        Self {
            out,
            err,
            width: None,
            colours: Colours::Off,
            progress: Progress::Hidden,
            drawn: Drawn::Nothing,
            job_output: JobOutput::Out,
        }
    }

    /// Columns that a table may use; `None` outside a terminal.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Whether text for standard output is coloured.
    pub(crate) fn colours(&self) -> Colours {
        self.colours
    }

    /// Whether progress is shown.
    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// Says where a job's standard output goes.
    pub(crate) fn send_job_output(&mut self, to: JobOutput) {
        self.job_output = to;
    }

    /// Standard output, for whoever writes more than lines.
    pub(crate) fn out(&mut self) -> &mut dyn Write {
        &mut *self.out
    }

    /// From now on nothing goes to standard output, since nobody reads it any more.
    pub(crate) fn discard_out(&mut self) {
        self.out = Box::new(io::sink());
    }

    /// Writes text to standard output.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Stop> {
        self.clear_progress();
        self.remember_end(text.as_bytes());
        let written = self.out.write_all(text.as_bytes());
        written.and_then(|()| self.out.flush()).map_err(stop)
    }

    /// Writes a line to standard output.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Stop> {
        self.print(&format!("{text}\n"))
    }

    /// Writes JSON and a line end to standard output.
    pub(crate) fn json(&mut self, value: &serde_json::Value) -> Result<(), Stop> {
        self.line(&format!("{value:#}"))
    }

    /// Writes a line to standard error. When even that fails there is nobody left to tell.
    pub(crate) fn note(&mut self, text: &str) {
        self.clear_progress();
        let lead = self.line_start();
        let _ = self.err.write_all(format!("{lead}{text}\n").as_bytes());
        let _ = self.err.flush();
    }

    /// Writes an error in its three parts. What was typed or stored is quoted in them.
    pub(crate) fn error(&mut self, error: &CliError) {
        self.note(&format!(
            "error: {}\nbecause: {}\ntry: {}",
            harmless(&error.what),
            harmless_lines(&error.why).replace('\n', "\n         "),
            harmless_lines(&error.todo).replace('\n', "\n     "),
        ));
    }

    /// Passes bytes of a job to standard output.
    pub(crate) fn pass_out(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.job_output == JobOutput::Err {
            return self.pass_err(bytes);
        }
        self.clear_progress();
        self.remember_end(bytes);
        let written = self.out.write_all(bytes).and_then(|()| self.out.flush());
        written.map_err(stop)
    }

    /// Passes bytes of a job to standard error.
    pub(crate) fn pass_err(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.clear_progress();
        self.remember_end(bytes);
        let written = self.err.write_all(bytes).and_then(|()| self.err.flush());
        written.map_err(stop)
    }

    /// Draws the progress line anew, unless a line of output is still open.
    pub(crate) fn draw_progress(&mut self, text: &str) {
        if self.progress == Progress::Hidden || self.drawn == Drawn::Partial {
            return;
        }
        let columns = self.width.unwrap_or(80).saturating_sub(1);
        let text = super::layout::cut(text, columns);
        let _ = self.err.write_all(format!("\r\x1b[2K{text}").as_bytes());
        let _ = self.err.flush();
        self.drawn = Drawn::Progress;
    }

    /// Takes the progress line away.
    pub(crate) fn clear_progress(&mut self) {
        if self.drawn == Drawn::Progress {
            let _ = self.err.write_all(b"\r\x1b[2K");
            let _ = self.err.flush();
            self.drawn = Drawn::Nothing;
        }
    }

    /// Where both streams are one terminal, an open line must be ended before a note.
    fn line_start(&mut self) -> &'static str {
        match (self.drawn, self.progress) {
            (Drawn::Partial, Progress::Shown) => {
                self.drawn = Drawn::Nothing;
                "\n"
            }
            (Drawn::Nothing | Drawn::Progress | Drawn::Partial, _) => "",
        }
    }

    fn remember_end(&mut self, bytes: &[u8]) {
        self.drawn = if bytes.ends_with(b"\n") {
            Drawn::Nothing
        } else {
            Drawn::Partial
        };
    }
}

fn stop(error: io::Error) -> Stop {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Stop::Pipe
    } else {
        CliError::from(error).into()
    }
}
