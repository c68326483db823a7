//! A source of its own: every new file of a directory becomes a job, once.
//!
//! A job finds its file in the folder `taken`, where it stays. Whoever writes a file gives it its
//! name by a rename when it is whole; names that begin with a dot are left alone.

use std::fs::{self, DirEntry};
use std::os::unix::fs::DirEntryExt as _;
use std::path::PathBuf;

use dispatcher_runner::{DispatchOptions, Host, Interval, Source, SourceError, SpawnError, Stop};
use serde_json::json;

/// The section `[sources.watcher]`.
#[derive(serde::Deserialize)]
struct Watcher {
    directory: PathBuf,
    dispatcher: String,
    interval: Interval,
}
dispatcher_runner::register_source!(Watcher);

impl Source for Watcher {
    const NAME: &'static str = "watcher";

    fn init(&mut self, host: &Host) -> Result<(), SourceError> {
        host.dispatcher(&self.dispatcher)?;
        Ok(fs::create_dir_all(self.directory.join("taken"))?)
    }

    async fn serve(&self, host: &Host, stop: Stop) -> Result<(), SourceError> {
        while stop.or(self.interval.sleep()).await.is_some() {
            for file in fs::read_dir(&self.directory)?.flatten() {
                let hidden = file.file_name().as_encoded_bytes()[0] == b'.';
                if file.file_type()?.is_file() && !hidden {
                    self.take(host, &file).await?;
                }
            }
        }
        Ok(())
    }
}

impl Watcher {
    /// A link in `taken`, then the job, then the old name goes: cut short, it begins again.
    async fn take(&self, host: &Host, file: &DirEntry) -> Result<(), SourceError> {
        let name = format!("{}-{}", file.ino(), file.file_name().display());
        let path = self.directory.join("taken").join(name);
        if !path.exists() {
            fs::hard_link(file.path(), &path)?;
        }
        let once = DispatchOptions::unique(path.display().to_string());
        let job = json!({ "path": path });
        match host.dispatch(&self.dispatcher, job, once).await {
            Ok(_) => Ok(fs::remove_file(file.path())?),
            Err(SpawnError::QueueFull { .. }) => {
                host.count("held_back");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
