//! What a node keeps of its engines over its own restart, in one embedded database: small, and written now and then.
//! Losing it costs a replay or, where that does not reach, the source's exactness; never a wrong page.

use std::path::Path;

use engines::source::SourceSnapshot;
use redb::{Database, ReadableDatabase, TableDefinition};
use thiserror::Error;

/// Snapshots by `name/rank`.
const SNAPSHOTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("source-snapshots");

/// Why nothing can be kept, or read.
///
/// State: what is in the store stays; a source that cannot be read begins anew.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database.
    #[error(transparent)]
    Database(Box<redb::Error>),
    /// What it holds was written by another release.
    #[error("what is kept of {key} cannot be read: {why}")]
    Unreadable {
        /// Whose.
        key: String,
        /// What is wrong with it.
        why: postcard::Error,
    },
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> StoreError {
        StoreError::Database(Box::new(error.into()))
    }
}

/// The database. Its file is locked while it is open.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
}

impl Store {
    /// Opens `sources.redb` in a directory, which is made when it is not there.
    ///
    /// Errors: [`StoreError`].
    pub(crate) fn open(dir: &Path) -> Result<Store, StoreError> {
        std::fs::create_dir_all(dir).map_err(redb::StorageError::Io)?;
        let database = Database::create(dir.join("sources.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(SNAPSHOTS)?;
        transaction.commit()?;
        Ok(Store { database })
    }

    /// Returns what is kept under a key.
    ///
    /// Errors: [`StoreError`].
    pub(crate) fn get(&self, key: &str) -> Result<Option<SourceSnapshot>, StoreError> {
        let transaction = self.database.begin_read()?;
        let Some(value) = transaction.open_table(SNAPSHOTS)?.get(key)? else {
            return Ok(None);
        };
        let read = postcard::from_bytes(value.value());
        read.map(Some).map_err(|why| StoreError::Unreadable {
            key: key.to_owned(),
            why,
        })
    }

    /// Writes snapshots, all or none. Blocks until they are on the disk.
    ///
    /// Errors: [`StoreError`].
    pub(crate) fn put(&self, all: &[(String, SourceSnapshot)]) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(SNAPSHOTS)?;
            for (key, snapshot) in all {
                let bytes =
                    postcard::to_allocvec(snapshot).map_err(|why| StoreError::Unreadable {
                        key: key.clone(),
                        why,
                    })?;
                table.insert(key.as_str(), &bytes[..])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engines::source::{Source, SourceConfig};
    use radix_core::FingerprintKey;
    use radix_core::id::SourceId;

    #[test]
    fn what_was_put_is_there_after_the_next_opening() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::new(SourceConfig::new(SourceId(3), FingerprintKey::new(7), 16));
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.get("a/0").unwrap(), None);
        store.put(&[("a/0".to_owned(), source.snapshot())]).unwrap();
        assert!(Store::open(dir.path()).is_err(), "one process at a time");
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.get("a/0").unwrap(), Some(source.snapshot()));
    }
}
