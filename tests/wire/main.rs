//! What we write, as others read it, and what others may write, as we read it.

mod seeds;
mod tshark;
