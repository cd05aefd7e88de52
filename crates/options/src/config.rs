//! Configuration files: which count ([`discover`]), what they say ([`Config`]), and what is wrong with them
//! ([`ConfigErrors`]). The table of [`keys`](KEYS) checks the files and is what documents them.

mod check_systems;
mod discover;
mod error;
mod key;
mod load;
mod settings;
mod system;

pub use discover::{Discovered, Skipped, discover};
pub use error::{ConfigError, ConfigErrors};
pub use key::{KEYS, Key, KeyKind};
pub use settings::{Config, Limits, LocalConfig, Nesting};
pub use system::{PARTITION_KEYS, PartitionConfig, SYSTEM_KEYS, SystemConfig};
