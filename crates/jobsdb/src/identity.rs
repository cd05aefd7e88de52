//! Which store it is.

use sqlx::Row;

use crate::error::StoreError;
use crate::open::Store;
use crate::statements::statements;

statements! {
    ID_OF_STORE = "SELECT id FROM store";
}

impl Store {
    /// The store's own id, which no other has: one made anew at the same path numbers its batches from 1 again.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn id(&mut self) -> Result<String, StoreError> {
        self.read("read the id of", async |connection| {
            Ok(sqlx::query(ID_OF_STORE).fetch_one(connection).await?.try_get(0)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{OpenOptions, Store};

    #[test]
    fn a_store_made_anew_is_another() {
        let root = tempfile::tempdir().unwrap();
        let opened =
            || Store::open(root.path(), &OpenOptions { create: true, ..OpenOptions::default() }).unwrap();
        let id = opened().id().unwrap();
        assert_eq!((id.len(), opened().id().unwrap()), (32, id.clone()));
        std::fs::remove_dir_all(root.path()).unwrap();
        assert_ne!(opened().id().unwrap(), id);
    }
}
