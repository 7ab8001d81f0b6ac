//! Messages between host and guest: one line of JSON each, over a virtio port.

use serde::{Deserialize, Serialize};

/// Host to guest. All reports about a request carry its number.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Request {
    Run { id: u64, program: String, arguments: Vec<String>, environment: Vec<(String, String)> },
    Signal { id: u64, number: i32 },
    Write { id: u64, path: String, content: String },
}

/// Guest to host.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Report {
    /// Once, when it accepts requests.
    Ready {
        release: String,
    },
    /// A line, with its line feed, or the last part of one.
    Printed {
        id: u64,
        error: bool,
        text: String,
    },
    /// Exit status, or minus the number of the signal.
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
