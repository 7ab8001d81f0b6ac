//! The configurations of docs/recipes, from these very files, with the services that they are for.
//!
//! Hosts are network namespaces that see the files of this machine, with whatever they write kept apart. Services are
//! those of Debian's packages.

mod compose;
mod haproxy;
mod host;
mod nginx;
mod postgresql;
mod router;
