//! Grid Engine: scripts and command lines, and what its commands print, as typed rows. Pure.

#![forbid(unsafe_code)]
