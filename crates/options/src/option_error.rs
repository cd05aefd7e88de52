//! Errors about options a user gave: [`OptionError`].

use thiserror::Error;

use crate::nearest::did_you_mean;

/// An option that is not there, or a value it does not take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OptionError {
    /// There is no such option.
    #[error("unknown option `{name}`{}", did_you_mean(.nearest))]
    Unknown {
        /// As it was given, a long one cut.
        name: String,
        /// Names and synonyms that are near.
        nearest: Vec<String>,
    },
    /// The option does not take this value.
    #[error("option `{option}` does not take `{value}`: expected {expected}{}", did_you_mean(.nearest))]
    Value {
        /// The option's name.
        option: String,
        /// The value as it was given, a long one cut.
        value: String,
        /// What is accepted.
        expected: String,
        /// Good spellings that are near.
        nearest: Vec<String>,
    },
}
