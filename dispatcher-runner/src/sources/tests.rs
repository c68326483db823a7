//! Sources against a made-up service, in virtual time.

mod asking;
mod keeping;
mod setting_up;
pub(crate) mod support;
