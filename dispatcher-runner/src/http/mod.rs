//! Jobs between applications over HTTP: signed in both directions, stored before they are answered.
//!
//! What comes from outside is believed only once its signature holds; until then it is bytes.

mod signature;

pub use signature::{Secret, SecretError};
