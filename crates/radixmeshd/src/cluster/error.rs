//! What can go wrong with a local cluster.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::client::ClientError;

/// Why a local cluster does not do what was asked.
///
/// State: a start that failed leaves nothing running; otherwise the nodes run on.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// No free ports.
    ///
    /// State: nothing was started.
    #[error("no free loopback ports: {0}")]
    Ports(#[source] io::Error),
    /// The directory cannot be used.
    ///
    /// State: nothing was started.
    #[error("the cluster's directory is of no use: {0}")]
    Dir(#[source] io::Error),
    /// The program cannot be run.
    ///
    /// State: this node does not run.
    #[error("`{}` cannot be run: {error}", binary.display())]
    Spawn {
        /// The program.
        binary: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// A node ended by itself.
    ///
    /// State: this node does not run.
    #[error("rank {rank} ended by itself; its log ends with\n{log}")]
    Exited {
        /// Which.
        rank: u16,
        /// The last lines of its log.
        log: String,
    },
    /// Something did not happen in time.
    ///
    /// State: all nodes run on.
    #[error("waited {waited:?} in vain for {what}")]
    TimedOut {
        /// How long.
        waited: Duration,
        /// For what.
        what: String,
    },
    /// A node did not answer.
    ///
    /// State: all nodes run on.
    #[error(transparent)]
    Client(ClientError),
}
