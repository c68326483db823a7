//! Who runs what in a supervisor, as the configuration says: pools, commands, everything else.

use std::collections::BTreeMap;

use dispatcher_core::message::PayloadWay;
use dispatcher_core::{Definition, Isolation, OnLost, Registry, UnknownDispatcher};

use crate::app;
use crate::config::{PAYLOAD_FILE, PayloadBy, PoolOf, WorkOf};
use crate::pool::{DEFAULT_POOL, PoolConfig, pool_of_source};
use crate::supervisor::{Argument, CommandOrder, PoolOrder, Staff};

use super::submit::Sender;

/// Whose jobs run in a pool.
struct Pooled {
    dispatchers: Vec<String>,
    /// None of them is work that must not be done twice.
    may_repeat: bool,
}

impl Default for Pooled {
    fn default() -> Self {
        Self {
            dispatchers: Vec::new(),
            may_repeat: true,
        }
    }
}

impl Sender<'_> {
    /// The staff of a service: every pool there is, whoever asks it.
    pub(crate) fn staff_of_service(&self, registry: &Registry) -> Staff {
        let mut staff = self.staff(registry);
        let named = self.config.pools().keys().cloned();
        let of_sources = self.config.sources().filter_map(|(source, section)| {
            Some(match section.pool()? {
                PoolOf::Named(name) => (name.clone(), None),
                PoolOf::Inline(pool) => (pool_of_source(source), Some(pool.clone())),
            })
        });
        let wanted = named.map(|name| (name, None)).chain(of_sources);
        for (name, config) in wanted {
            if staff.pools.iter().all(|pool| pool.name != name) {
                let config = config.unwrap_or_else(|| self.pool_config(&name));
                staff.pools.push(PoolOrder {
                    name,
                    config,
                    dispatchers: Vec::new(),
                });
            }
        }
        staff
    }

    /// The staff of a supervisor that nobody waits for: workers of its pools come with their first
    /// job.
    pub(super) fn staff_on_demand(&self) -> Staff {
        let registry = self.config.resolve(app::registry().clone());
        let registry = registry.unwrap_or_else(|_| app::registry().clone());
        let mut staff = self.staff(&registry);
        for pool in &mut staff.pools {
            pool.config.min_workers = 0;
        }
        staff
    }

    /// A dispatcher of the program, or of the configuration.
    pub(super) fn find(&self, name: &str) -> Result<&'static Definition, UnknownDispatcher> {
        app::registry().resolve(name).or_else(|unknown| {
            let registry = self.config.resolve(app::registry().clone());
            registry.map_or(Err(unknown), |registry| registry.resolve(name))
        })
    }

    fn staff(&self, registry: &Registry) -> Staff {
        let mut staff = Staff::default();
        let mut pooled: BTreeMap<String, Pooled> = BTreeMap::new();
        for definition in registry.iter() {
            let name = definition.name.to_owned();
            staff.dispatchers.push(name.clone());
            if let Some(command) = self.command(&name) {
                staff.commands.insert(name, command);
                continue;
            }
            let mut options = (definition.options)();
            let mut shared = (definition.dispatcher_options)();
            self.config.apply(&name, &mut options, &mut shared);
            if options.isolation == Isolation::Pool {
                let pool = self.config.pool_of(&name).unwrap_or(DEFAULT_POOL);
                let pool = pooled.entry(pool.to_owned()).or_default();
                pool.dispatchers.push(name);
                pool.may_repeat &= options.on_lost == OnLost::Rerun;
            }
        }
        let orders = pooled.into_iter().map(|(name, pool)| {
            let mut config = self.pool_config(&name);
            if !pool.may_repeat {
                // Nobody could tell after a power cut what of that has begun.
                config.prefetch = 0;
            }
            PoolOrder {
                name,
                config,
                dispatchers: pool.dispatchers,
            }
        });
        staff.pools = orders.collect();
        staff
    }

    fn command(&self, name: &str) -> Option<CommandOrder> {
        match &self.config.configured().get(name)?.work {
            WorkOf::Command(command) => Some(CommandOrder {
                argv: command.argv.iter().map(argument).collect(),
                payload: match command.payload {
                    PayloadBy::None => PayloadWay::None,
                    PayloadBy::File => PayloadWay::File(String::new()),
                    PayloadBy::Stdin => PayloadWay::Stdin,
                    PayloadBy::Environment => PayloadWay::Environment,
                },
                env: command.env.clone(),
            }),
            WorkOf::Pool(_) => None,
        }
    }

    fn pool_config(&self, name: &str) -> PoolConfig {
        self.config.pools().get(name).cloned().unwrap_or_default()
    }
}

fn argument(text: &String) -> Argument {
    if text == PAYLOAD_FILE {
        Argument::PayloadFile
    } else {
        Argument::Text(text.clone())
    }
}
