//! SQL on a store, past the program under test.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};
use tokio::runtime::Runtime;

/// Executes statements on a database and closes it, so that all of it is in its one file.
pub fn execute(file: &Path, statements: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        connection.execute(statements).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// A database that nobody else can open while this is there.
#[derive(Debug)]
pub struct Seized {
    runtime: Runtime,
    connection: Option<SqliteConnection>,
}

impl Seized {
    /// Waits for the others and locks them out.
    pub fn new(file: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let connection = runtime.block_on(async {
            let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
            // By its first transaction, for as long as it is open.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT").await.unwrap();
            connection
        });
        Self { runtime, connection: Some(connection) }
    }
}

impl Drop for Seized {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = self.runtime.block_on(connection.close());
        }
    }
}
