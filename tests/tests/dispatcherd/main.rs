//! The Python package `dispatcherd`, unmodified, talks to a service of ours.

/// Runs scenarios over every transport, each with a service of this configuration.
macro_rules! over_every_transport {
    ($config:expr; $($scenario:ident)*) => {
        mod over_the_socket {$(
            #[test]
            fn $scenario() {
                super::$scenario(&super::Wire::socket($config));
            }
        )*}
        mod over_postgresql {$(
            #[test]
            fn $scenario() {
                super::$scenario(&super::Wire::postgres($config));
            }
        )*}
    };
}

mod commands;
mod documents;
mod notify;
mod other_way;
mod published;
mod python;
mod socket;
mod tasks;
