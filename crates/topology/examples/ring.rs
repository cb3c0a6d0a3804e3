//! A broadcast over a ring of seven, one of them down, in virtual time.
//!
//! `cargo run -p topology --example ring -- [fan-out] [rank that is down]`, by default 1 and 3.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use radix_core::id::{Incarnation, Rank};
use radix_core::time::Timestamp;
use topology::{Arc, Config, ConfigError, Input, Role, Topology};

const HOP: Duration = Duration::from_micros(150);
const MEMBERS: u16 = 7;

fn main() -> Result<(), ConfigError> {
    let mut arguments = std::env::args()
        .skip(1)
        .map_while(|argument| argument.parse().ok());
    let fanout = arguments.next().unwrap_or(1);
    let down = Rank(arguments.next().unwrap_or(3));

    let members: Vec<(Rank, Role)> = (0..MEMBERS)
        .map(|rank| (Rank(rank), Role::Prefill))
        .collect();
    let mut nodes = BTreeMap::new();
    for &(me, _) in &members {
        let config = Config {
            fanout,
            ..Config::new(me, members.clone())
        };
        let mut node = Topology::new(config, Timestamp(0))?;
        for &(peer, _) in members
            .iter()
            .filter(|&&(peer, _)| peer != me && peer != down)
        {
            node.handle(
                Timestamp(0),
                Input::LinkUp {
                    peer,
                    inc: Incarnation(1),
                },
                &mut Vec::new(),
            );
        }
        nodes.insert(me, node);
    }

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
