//! Sources against a made-up service, in virtual time.
