//! A broadcast over a ring of seven, one of them down, in virtual time.
//!
//! `cargo run -p topology --example ring -- [fan-out] [rank that is down]`, by default 1 and 3.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use radix_core::id::{Incarnation, Rank, Seq};
use radix_core::time::Timestamp;
use topology::{Arc, Config, ConfigError, Fanout, Input, Output, Role, Topology};

const HOP: Duration = Duration::from_micros(150);
const MEMBERS: u16 = 7;
const INC: Incarnation = Incarnation(1);

fn main() -> Result<(), ConfigError> {
    let mut arguments = std::env::args()
        .skip(1)
        .map_while(|argument| argument.parse().ok());
    let fanout = arguments.next().unwrap_or(1);
    let down = Rank(arguments.next().unwrap_or(3));
    let nodes = linked_but(down, fanout)?;

    let origin = Rank(0);
    println!("fan-out {fanout}, rank {down} is down, rank {origin} broadcasts");
    println!("    time  from   to  owns the open arc");
    let mut arcs = Vec::new();
    let mut under_way = BTreeSet::from([(Timestamp(0), origin, origin, origin)]);
    while let Some((now, from, to, end)) = under_way.pop_first() {
        if to != origin {
            let micros = now.since(Timestamp(0)).as_micros();
            println!("{micros:>5} us  {:>4} {:>4}  ({to}, {end})", from.0, to.0);
        }
        nodes[&to].arcs(end, &mut arcs);
        under_way.extend(
            arcs.iter()
                .map(|&Arc { to: next, end }| (now.after(HOP), to, next, end)),
        );
    }
    Ok(())
}

/// Builds the nodes, links all but one of them, and lets them tell each other that they live.
fn linked_but(down: Rank, fanout: u16) -> Result<BTreeMap<Rank, Topology>, ConfigError> {
    let members: Vec<(Rank, Role)> = (0..MEMBERS)
        .map(|rank| (Rank(rank), Role::Prefill))
        .collect();
    let mut nodes = BTreeMap::new();
    let mut inputs = VecDeque::new();
    for &(me, _) in &members {
        let config = Config {
            fanout: Fanout::Fixed(fanout),
            ..Config::new(me, members.clone())
        };
        nodes.insert(me, Topology::new(config, Timestamp(0))?);
        inputs.push_back((me, Input::Position(INC, Seq::ZERO)));
    }
    for &(me, _) in members.iter().filter(|(me, _)| *me != down) {
        let peers = members.iter().map(|&(peer, _)| peer);
        let linked = peers.filter(|&peer| peer != me && peer != down);
        inputs.extend(linked.map(|peer| (me, Input::LinkUp { peer, inc: INC })));
    }
    let mut out = Vec::new();
    while let Some((at, input)) = inputs.pop_front() {
        let Some(node) = nodes.get_mut(&at) else {
            continue;
        };
        node.handle(Timestamp(0), input, &mut out);
        for output in out.drain(..) {
            if let Output::Send { to, message } = output {
                inputs.push_back((to, Input::Message { from: at, message }));
            }
        }
    }
    Ok(nodes)
}
