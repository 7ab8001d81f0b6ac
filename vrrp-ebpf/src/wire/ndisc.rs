//! ndisc.
