//! Links and addresses as they change.
