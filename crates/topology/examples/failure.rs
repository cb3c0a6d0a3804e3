//! Three nodes, one of which dies, or one link between two of them: who says what, in virtual time.
//!
//! `cargo run -p topology --example failure -- [node | link]`, by default `node`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;
use topology::{Config, ConfigError, Input, Message, Output, Role, Topology};

const HOP: Duration = Duration::from_micros(150);
const INC: Incarnation = Incarnation(1);
const MEMBERS: u16 = 3;
const VICTIM: Rank = Rank(2);
const OTHER_END: Rank = Rank(1);

/// Nodes, and what is under way to them: (when, number) -> (to, what).
struct World {
    nodes: BTreeMap<Rank, Topology>,
    under_way: BTreeMap<(Timestamp, u64), (Rank, Input)>,
    count: u64,
    trouble: Option<Timestamp>,
}

impl World {
    fn send(&mut self, at: Timestamp, to: Rank, input: Input) {
        self.count += 1;
        self.under_way.insert((at, self.count), (to, input));
    }

    fn input(&mut self, now: Timestamp, me: Rank, input: Input) {
        let mut out = Vec::new();
        if let Some(node) = self.nodes.get_mut(&me) {
            node.handle(now, input, &mut out);
        }
        for output in out {
            self.print(now, me, &output);
            if let Output::Send { to, message } = output {
                self.send(now.after(HOP), to, Input::Message { from: me, message });
            }
        }
    }

    fn run(&mut self, until: Timestamp) {
        loop {
            let ticks = self.nodes.iter();
            let tick = ticks
                .filter_map(|(&rank, node)| Some((node.next_deadline()?, rank)))
                .min();
            let arrival = self.under_way.first_key_value().map(|(&(at, _), _)| at);
            match (arrival, tick) {
                (Some(at), _) if at <= until && tick.is_none_or(|(tick, _)| at <= tick) => {
                    if let Some((_, (to, input))) = self.under_way.pop_first() {
                        self.input(at, to, input);
                    }
                }
                (_, Some((at, rank))) if at <= until => self.input(at, rank, Input::Tick),
                (Some(_) | None, Some(_) | None) => return,
            }
        }
    }

    /// Heartbeats and exchanges go on all the time, and are left out.
    fn print(&self, now: Timestamp, me: Rank, output: &Output) {
        let Some(begin) = self.trouble else { return };
        let text = match output {
            Output::StatusChanged {
                rank,
                status,
                reach,
            } => format!("{rank} is {status} here, reach {reach}"),
            Output::Send { to, message } => match message {
                Message::ProbeFor { target, .. } => format!("to {to}: do you hear {target}?"),
                Message::ProbeResult { target, heard, .. } => {
                    format!(
                        "to {to}: {target} is {}heard",
                        if *heard { "" } else { "not " }
                    )
                }
                Message::Members { records, .. } => {
                    let of =
                        |record: &topology::Record| format!("{} {}", record.rank, record.status);
                    let all: BTreeSet<String> = records.iter().map(of).collect();
                    format!(
                        "to {to}: {}",
                        all.into_iter().collect::<Vec<_>>().join(", ")
                    )
                }
                Message::Heartbeat(_) | Message::Digest { .. } => return,
            },
            Output::Exchange { .. }
            | Output::PeersChanged
            | Output::Forget { .. }
            | Output::Outlived { .. }
            | Output::Introduced(_)
            | Output::Forgotten(_)
            | Output::Event(_) => return,
        };
        println!("{:>10} us  {me}  {text}", now.since(begin).as_micros());
    }
}

fn main() -> Result<(), ConfigError> {
    let members: Vec<(Rank, Role)> = (0..MEMBERS)
        .map(|rank| (Rank(rank), Role::Prefill))
        .collect();
    let mut world = World {
        nodes: BTreeMap::new(),
        under_way: BTreeMap::new(),
        count: 0,
        trouble: None,
    };
    let start = Timestamp(0);
    for &(me, _) in &members {
        let node = Topology::new(Config::new(me, members.clone()), start)?;
        world.nodes.insert(me, node);
        world.input(start, me, Input::Position(INC, Seq::ZERO));
    }
    for &(me, _) in &members {
        for &(peer, _) in members.iter().filter(|(peer, _)| *peer != me) {
            world.input(start, me, Input::LinkUp { peer, inc: INC });
        }
    }
    let death = start.after(Duration::from_millis(2500));
    world.run(death);

    println!("        time  at");
    world.trouble = Some(death);
    let closed = death.after(HOP);
    if std::env::args().nth(1).as_deref() == Some("link") {
        world.send(closed, OTHER_END, Input::LinkDown { peer: VICTIM });
        world.send(closed, VICTIM, Input::LinkDown { peer: OTHER_END });
    } else {
        // Its host closes the connections of the dead process.
        world.nodes.remove(&VICTIM);
        for &(me, _) in members.iter().filter(|(me, _)| *me != VICTIM) {
            world.send(closed, me, Input::LinkDown { peer: VICTIM });
        }
    }
    world.run(death.after(Duration::from_secs(5)));
    Ok(())
}
