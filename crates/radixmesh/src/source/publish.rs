//! What sources say, on its way into the node's log.

use std::collections::BTreeMap;

use engines::source::Command;
use node::Publish;
use radix_core::id::SourceId;

use crate::mesh::{Mesh, ShutDown};

/// Publishes what sources say, in order.
pub(crate) struct Publisher {
    mesh: Mesh,
    waiting: Vec<Publish>,
    whose: Vec<SourceId>,
    refused: BTreeMap<SourceId, u64>,
}

impl Publisher {
    pub(crate) fn new(mesh: Mesh) -> Publisher {
        Publisher {
            mesh,
            waiting: Vec::new(),
            whose: Vec::new(),
            refused: BTreeMap::new(),
        }
    }

    pub(crate) fn push(&mut self, command: Command) {
        let (source, publish) = match command {
            Command::Store {
                source,
                namespace,
                tier,
                pages,
                from,
            } => {
                let renew = false;
                let publish = Publish::Store {
                    source,
                    namespace,
                    tier,
                    pages,
                    from,
                    renew,
                };
                (source, publish)
            }
            Command::Evict {
                source,
                namespace,
                pages,
                from,
            } => {
                let publish = Publish::Evict {
                    source,
                    namespace,
                    pages,
                    from,
                };
                (source, publish)
            }
            Command::Reset { source } => (source, Publish::Reset { source }),
        };
        self.whose.push(source);
        self.waiting.push(publish);
    }

    /// Publishes what waits; returns when the node has it.
    ///
    /// Errors: [`ShutDown`].
    pub(crate) async fn publish(&mut self) -> Result<(), ShutDown> {
        let (_, results) = self.mesh.publish(std::mem::take(&mut self.waiting)).await?;
        for (source, result) in self.whose.drain(..).zip(results) {
            if let Err(error) = result {
                tracing::warn!(source = source.0, %error, "the node refused what a source says");
                *self.refused.entry(source).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Takes the counts of what was refused.
    pub(crate) fn refused(&mut self) -> BTreeMap<SourceId, u64> {
        std::mem::take(&mut self.refused)
    }
}
