//! Configuration files: which count ([`discover`]), what they say ([`Config`]), and what is wrong with them
//! ([`ConfigErrors`]). The table of [`keys`](KEYS) checks the files and is what documents them.

mod discover;
mod error;
mod key;
mod load;
mod settings;

pub use discover::{Discovered, Skipped, discover};
pub use error::{ConfigError, ConfigErrors};
pub use key::{KEYS, Key, KeyKind};
pub use settings::{Config, Limits, LocalConfig, Nesting, SystemConfig};
