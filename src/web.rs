//! Views of a gateway that runs.

pub mod control;
