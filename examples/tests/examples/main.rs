//! Every example is run as its reader would run it, and its results are looked at.

mod apply_server;
mod certificates;
mod my_custom_dispatcher;
mod quickstart;
mod service_reload;
mod support;
mod web_restart;
