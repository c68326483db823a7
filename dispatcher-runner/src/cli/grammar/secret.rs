//! The row of `generate-secret`, which belongs to the table like all others.

use super::{Command, CommandName, Words, none, switch, valued};

pub(super) const GENERATE_SECRET: Command = Command {
    id: CommandName::GenerateSecret,
    name: "generate-secret",
    arguments: "",
    summary: "make a secret for jobs over HTTP, and save it in an env file",
    details: "Sets DISPATCHER_BACKEND_SECRET in --env-file (.env), and nothing else there.\n\
        Where APP_ENV or DISPATCHER_ENV is `production` it exits with 1, unless\n\
        --force is given.",
    positional: none(),
    flags: &[
        valued(
            "length",
            "COUNT",
            Words::Nothing,
            "characters: 32 to 128, a multiple of 4 (64)",
        ),
        switch("show", None, "print the secret as well"),
        switch(
            "no-replace",
            None,
            "add it where there is none; never replace one",
        ),
        switch("create", None, "make the file if there is none (mode 0600)"),
        switch("force", None, "also in production"),
    ],
};
