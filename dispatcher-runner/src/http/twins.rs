//! Messages that are being acted on: a twin of one waits for it.
//!
//! Only a short cut within one process: that a message is acted on once is the store's doing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long a twin waits for the first.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Sender and id of a message.
type Name = (String, String);

/// The messages under way. Every copy is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Twins(Arc<Mutex<BTreeMap<Name, watch::Receiver<()>>>>);

/// One message under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    twins: Twins,
    name: Name,
    /// Its end tells those who wait.
    _over: watch::Sender<()>,
}

impl Twins {
    /// Waits until no other message of this name is under way; `None` when that takes too long.
    pub(super) async fn turn(&self, sender: &str, id: &str) -> Option<Turn> {
        let name = (sender.to_owned(), id.to_owned());
        timeout(WAIT_MAX, async {
            loop {
                let mut first = match self.enter(&name) {
                    Ok(turn) => return turn,
                    Err(first) => first,
                };
                // Nothing is ever sent: an error says that it is over.
                let _ = first.changed().await;
            }
        })
        .await
        .ok()
    }

    fn enter(&self, name: &Name) -> Result<Turn, watch::Receiver<()>> {
        let mut under_way = self.lock();
        if let Some(first) = under_way.get(name) {
            return Err(first.clone());
        }
        let (over, told) = watch::channel(());
        under_way.insert(name.clone(), told);
        Ok(Turn {
            twins: self.clone(),
            name: name.clone(),
            _over: over,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, watch::Receiver<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.twins.lock().remove(&self.name);
    }
}
