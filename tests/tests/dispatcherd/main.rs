//! The Python package `dispatcherd`, unmodified, talks to a service of ours.

mod commands;
mod python;
mod socket;
mod tasks;
