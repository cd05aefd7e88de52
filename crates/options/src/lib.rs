#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod amount;
pub mod catalogue;
mod catalogue_text;
pub mod config;
pub mod env_export;
mod flow_depth;
mod nearest;
pub mod node;
pub mod option_def;
pub mod option_error;
pub mod option_type;
pub mod scheduler_kind;
mod shown;
pub mod template;
pub mod value;
pub mod yaml;

pub use amount::{CoreAmount, MemAmount, Percent};
pub use catalogue::Catalogue;
pub use catalogue_text::{CatalogueError, EntryError};
pub use config::{Config, ConfigErrors};
pub use env_export::EnvExport;
pub use nearest::nearest;
pub use node::Node;
pub use option_def::{OptionDef, Rendered, Spelling};
pub use option_error::OptionError;
pub use option_type::OptionType;
pub use scheduler_kind::SchedulerKind;
pub use template::{RenderError, Template};
pub use value::Value;
