//! Configurations as users write them, sound and broken, and what is said about them.
//!
//! `UPDATE_EXPECTED=1` writes the expectations anew; read the difference before it is committed.

mod corpus;
mod documentation;
mod include;
mod random;
mod settings;
