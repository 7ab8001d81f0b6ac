//! What host and guest say to each other: a line of JSON each, by a port of virtio.

use serde::{Deserialize, Serialize};

/// To the guest. Numbers name what is asked for, and come back with all that follows from it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Request {
    Run { id: u64, program: String, arguments: Vec<String>, environment: Vec<(String, String)> },
    Signal { id: u64, number: i32 },
    Write { id: u64, path: String, content: String },
}

/// From the guest.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Report {
    /// Once, when it can be asked.
    Ready {
        release: String,
    },
    /// A line, with its end, or the last part of one.
    Printed {
        id: u64,
        error: bool,
        text: String,
    },
    /// Exit status, or the number of a signal below zero.
    Ended {
        id: u64,
        status: i32,
    },
    Refused {
        id: u64,
        why: String,
    },
}

impl Report {
    pub(super) fn id(&self) -> Option<u64> {
        match *self {
            Self::Ready { .. } => None,
            Self::Printed { id, .. } | Self::Ended { id, .. } | Self::Refused { id, .. } => Some(id),
        }
    }
}
