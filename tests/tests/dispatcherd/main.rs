//! The Python package `dispatcherd`, unmodified, talks to a service of ours.

mod commands;
mod notify;
mod python;
mod socket;
mod tasks;
