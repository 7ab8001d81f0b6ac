//! Configurations of docs/recipes, read from these files, with the services that they are for.
//!
//! Hosts are network namespaces that see the files of this machine; their changes are kept separate. Services come from
//! Debian's packages.

mod compose;
mod haproxy;
mod host;
mod kubeadm;
mod nginx;
mod postgresql;
mod router;
