//! The effect thread.
