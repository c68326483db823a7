//! What one command works with: its arguments, the configuration, the store once it is opened.

use std::collections::BTreeMap;

use dispatcher_core::{Definition, Registry};

use super::arguments::Arguments;
use super::error::{CliError, Stop};
use super::terminal::Terminal;
use super::{Environment, State};
use crate::about::About;
use crate::config::{Config, StoreLocation};
use crate::store::{DispatcherRow, DispatcherStatus, MemoryStore, Store, StoreError, UnixMs};

/// One run of one command.
pub(crate) struct Session<'e, 'h> {
    pub(crate) arguments: Arguments,
    pub(crate) config: Config,
    pub(crate) location: StoreLocation,
    pub(crate) registry: Registry,
    pub(crate) environment: &'e mut Environment<'h>,
}

/// A store whose errors know where the state lies.
pub(crate) struct OpenStore {
    store: Box<dyn Store>,
    location: StoreLocation,
}

impl OpenStore {
    /// Asks the store something.
    pub(crate) fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, Stop> {
        question(self.store.as_mut())
            .map_err(|error| CliError::store(&error, &self.location).into())
    }
}

impl Session<'_, '_> {
    pub(crate) fn terminal(&mut self) -> &mut Terminal {
        &mut self.environment.terminal
    }

    pub(crate) fn now(&self) -> UnixMs {
        (self.environment.now)()
    }

    pub(crate) fn json(&self) -> bool {
        self.arguments.has("json")
    }

    /// The first positional argument, which the grammar made sure of.
    pub(crate) fn first_word(&self) -> &str {
        self.arguments.words.first().map_or("", String::as_str)
    }

    /// The store for a command that only reads: where there is no state, none is made for it.
    pub(crate) fn open_to_read(&mut self) -> Result<OpenStore, Stop> {
        if self.has_state() {
            return self.open_store();
        }
        Ok(OpenStore {
            store: Box::new(MemoryStore::default()),
            location: self.location.clone(),
        })
    }

    pub(crate) fn has_state(&self) -> bool {
        self.environment.host.has_state(&self.location)
    }

    pub(crate) fn open_store(&mut self) -> Result<OpenStore, Stop> {
        let opened = self.environment.host.open_store(&self.location);
        match opened {
            Ok(store) => Ok(OpenStore {
                store,
                location: self.location.clone(),
            }),
            Err(error) => Err(CliError::store(&error, &self.location).into()),
        }
    }

    /// Calls the host with what the command works on.
    pub(crate) fn with_host<T>(
        &mut self,
        act: impl FnOnce(&mut dyn super::Host, &State<'_>) -> T,
    ) -> T {
        let state = State {
            config: &self.config,
            location: &self.location,
        };
        act(self.environment.host, &state)
    }

    /// The dispatcher with this name, or why there is none.
    pub(crate) fn definition(&self, name: &str) -> Result<&'static Definition, CliError> {
        if self.registry.is_empty() {
            return Err(super::generic::needs_app(&self.environment.program, name));
        }
        Ok(self.registry.resolve(name)?)
    }

    /// What the program itself knows about its dispatchers.
    pub(crate) fn own_about(&self) -> BTreeMap<String, About> {
        let about = self.registry.iter().map(|definition| {
            let mut job = (definition.options)();
            let mut dispatcher = (definition.dispatcher_options)();
            self.config
                .apply(definition.name, &mut job, &mut dispatcher);
            let aliases = self
                .registry
                .aliases()
                .filter(|(_, target)| target.name == definition.name)
                .map(|(alias, _)| alias.to_owned())
                .collect();
            let about = About::of(definition, job, aliases);
            (definition.name.to_owned(), about)
        });
        about.collect()
    }

    /// The row of a dispatcher of this program.
    pub(crate) fn dispatcher_row(&self, name: &str) -> Option<DispatcherRow> {
        let definition = self.registry.resolve(name).ok()?;
        let build = self.environment.build.clone()?;
        let mut job = (definition.options)();
        let mut options = (definition.dispatcher_options)();
        self.config.apply(definition.name, &mut job, &mut options);
        let about = self.own_about().remove(definition.name)?;
        Some(DispatcherRow {
            name: definition.name.to_owned(),
            build,
            options,
            about: about.to_json(),
        })
    }

    /// What is known about every dispatcher, the program's own knowledge first.
    pub(crate) fn all_about(&self, rows: &[DispatcherStatus]) -> BTreeMap<String, About> {
        let mut about: BTreeMap<_, _> = rows
            .iter()
            .filter_map(|status| Some((status.row.name.clone(), About::parse(&status.row.about)?)))
            .collect();
        about.extend(self.own_about());
        about
    }
}
