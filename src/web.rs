//! Views of a running gateway.

pub mod control;
