//! OpenPBS, PBS Pro and Torque: scripts and command lines, and what their commands print, as typed rows. Pure.

#![forbid(unsafe_code)]
