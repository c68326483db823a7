//! `store`: how far the schema of the store is, and bringing it up to date ahead of its first use.
//!
//! Every program does the latter by itself when it opens the store; who may not change a database's
//! schema needs somebody who does it for them.

use serde_json::json;

use crate::cli::error::{CliError, Done, Stop};
use crate::cli::session::Session;
use crate::store::{self, SchemaState};

pub(super) fn store(session: &mut Session<'_, '_>) -> Done {
    let location = session.location.clone();
    let (file, target) = (location.file(), location.target());
    let migrates = session.first_word() == "migrate";
    let state = if migrates {
        store::migrate(file, target)
    } else {
        store::schema(file, target)
    };
    let state = state.map_err(|error| Stop::from(CliError::store(&error, &location)))?;
    let SchemaState { found, known } = state;
    if session.json() {
        let value = json!({ "store": location.place(), "found": found, "known": known });
        session.terminal().json(&value)?;
        return Ok(0);
    }
    let place = location.place();
    let text = match (found, migrates) {
        (found, _) if found == known => "is up to date".to_owned(),
        (found, true) => format!("is up to date now; {} steps were made", known - found),
        (0, false) => {
            "is not there yet; `store migrate` makes it, and so does its first use".into()
        }
        (found, false) if found > known => "is of a newer program, and is not touched".to_owned(),
        (found, false) => format!("lacks {} steps; `store migrate` makes them", known - found),
    };
    let line = format!(
        "{}: the schema {text} ({found} of {known})",
        place.display()
    );
    session.terminal().line(&line)?;
    Ok(0)
}
