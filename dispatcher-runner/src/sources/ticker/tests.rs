//! What the ticker does, in virtual time.
