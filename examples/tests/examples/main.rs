//! Every example is run as its reader would run it, and its results are looked at.

mod apply_server;
mod certificates;
mod delayed_removal;
mod embedded_service;
mod firewall_apply;
mod goridge_worker;
mod hourly_fetch;
mod letters;
mod my_custom_dispatcher;
mod peers;
mod push_peers;
mod quickstart;
mod reports;
mod service_reload;
mod support;
mod upgrade;
mod web_restart;
