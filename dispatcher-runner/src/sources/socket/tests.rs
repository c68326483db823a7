//! What comes over the socket, in one process.
