//! The crate as its users see it.

#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

mod catalogue;
mod config;
mod hostile;
