//! The Python package `dispatcherd`, unmodified, talks to a service of ours.

mod commands;
mod documents;
mod notify;
mod other_way;
mod published;
mod python;
mod socket;
mod tasks;
