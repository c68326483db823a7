//! The row of `bench`, which belongs to the table like all others.

use super::{Command, CommandName, Words, between, valued};

/// What `bench` can measure.
pub(crate) const BENCH_WORDS: &[&str] = &["jobs", "http"];

pub(super) const BENCH: Command = Command {
    id: CommandName::Bench,
    name: "bench",
    arguments: "[jobs | http]",
    summary: "measure what Dispatcher costs on this machine",
    details: "Each figure stands beside what it is made of, measured in the same run: a bare\n\
        fork, an exec, a durable insert into SQLite. Ratios can be compared between\n\
        machines, times cannot. A rate beside a serial baseline: 1.00 is as fast as it.\n\
        Everything lies in a folder of its own, which is removed at the end.\n\
        `http`: jobs accepted on the loopback over 1, 8 and 64 connections, beside the\n\
        same server answering without storing (in a build with the feature `http`).",
    positional: between(0, 1, Words::These(BENCH_WORDS)),
    flags: &[
        valued(
            "rows",
            "N",
            Words::Nothing,
            "most queued rows behind a submission (1000000)",
        ),
        valued(
            "jobs",
            "N",
            Words::Nothing,
            "jobs of an end-to-end run, or over HTTP (20000)",
        ),
        valued(
            "workers",
            "N",
            Words::Nothing,
            "worker slots (twice the processors)",
        ),
        valued(
            "directory",
            "PATH",
            Words::Files,
            "put the state here: its disk is measured (TMPDIR)",
        ),
    ],
};
