//! What the engines say, and when.

use std::time::Duration;

use node::{Input, Publish, PublishError, Receipt};
use radix_core::id::Rank;

use crate::event::Event;
use crate::slot::Slot;
use crate::violation::Violation;
use crate::world::World;

impl World {
    /// One engine says a few things at once; then the next burst is planned.
    pub(crate) fn publish(&mut self) -> Result<(), Violation> {
        let left = self.config.publishes.saturating_sub(self.published);
        if left == 0 || self.calm_since.is_some() {
            return Ok(());
        }
        let mean = u64::from(self.profile.workload.burst_max.div_ceil(2));
        // Spread over the time that is left, so that publishing ends when the faults end.
        let time_left = (self.config.fault_ms * 1_000_000).saturating_sub(self.now.0);
        let gap = time_left * mean / u64::from(left);
        // Never none: nobody may be awake for long.
        let gap = self.workload.u64(0..=gap * 19 / 10).max(1_000);
        self.queue
            .push(self.now.after(Duration::from_nanos(gap)), Event::Publish);
        let burst = self
            .workload
            .u32(1..=self.profile.workload.burst_max)
            .min(left);
        let nodes = self.slots.len();
        let first = self.workload.usize(..nodes);
        let awake = |slot: &Slot| slot.life.is_some() && slot.free_at() <= self.now;
        let Some(node) = (first..first + nodes)
            .map(|node| node % nodes)
            .find(|node| awake(&self.slots[*node]))
        else {
            self.reached.bursts_lost += 1;
            return Ok(());
        };
        self.published += burst;
        for _ in 0..burst {
            self.say(node)?;
        }
        if self.workload.u64(0..64) >= self.profile.workload.unflushed_64 {
            self.feed(node, Input::Flush, None)?;
        }
        Ok(())
    }

    /// One engine behind a node says one thing.
    pub(crate) fn say(&mut self, node: usize) -> Result<(), Violation> {
        let Some(life) = &mut self.slots[node].life else {
            return Ok(());
        };
        let publish = life
            .engines
            .next(&self.profile.workload, &mut self.workload);
        life.said = Some(publish.clone());
        self.hash.words([3, node as u64, self.now.0]);
        self.feed(node, Input::Publish(publish), None)
    }

    pub(crate) fn published(
        &mut self,
        node: usize,
        result: Result<Receipt, PublishError>,
    ) -> Result<(), Violation> {
        let Some(life) = &mut self.slots[node].life else {
            return Ok(());
        };
        let Some(said) = life.said.take() else {
            return Ok(());
        };
        let at: Rank = self.slots[node].rank;
        let life = self.slots[node]
            .life
            .as_mut()
            .expect("looked at just above");
        match result {
            Ok(receipt) => {
                self.reached.publishes += 1;
                life.engines
                    .accepted(&said, &receipt)
                    .map_err(|page| Violation::Alarm {
                        at,
                        event: format!("page {page} of an accepted store got no copy: {said:?}"),
                    })
            }
            Err(PublishError::Left) => {
                self.reached.publishes_refused += 1;
                Ok(())
            }
            Err(PublishError::EmptyPath | PublishError::FromBeyondPath { .. })
                if matches!(said, Publish::Store { .. }) =>
            {
                self.reached.publishes_refused += 1;
                Ok(())
            }
            Err(error) => Err(Violation::Alarm {
                at,
                event: format!("{error} for {said:?}"),
            }),
        }
    }
}
