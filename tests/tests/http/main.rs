//! Jobs over HTTP, from outside: a built service, bytes on a socket.

mod documented;
mod laravel;
mod official;
mod refused;
mod replayed;
mod sent;

use dispatcher_tests::{Home, Serving};

/// The program of these tests.
pub(crate) const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

/// A service that receives jobs, and where.
pub(crate) fn service(more: &str) -> (Home, Serving, String) {
    let home = Home::new(FIXTURE);
    let service = Serving::http(&home, more);
    let address = service.http_address(&home);
    (home, service, address)
}
