//! What the documents say is true: their walks are walked, their tables compared with the code.

mod dependencies;
mod tables;
mod walk;
mod walks;
