//! What faults mean for each node, and the words for the programs that bring it about. Runs nothing.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use faultnet::{Condition, Flow, Way};

use super::super::fault::{Fault, How};

/// What a node's link suffers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Suffers {
    /// Whose packets do not arrive.
    pub(super) drop: BTreeSet<u16>,
    /// Whose connections are reset.
    pub(super) reset: BTreeSet<u16>,
    /// How late and narrow it is, in both directions.
    pub(super) shape: Option<Way>,
    /// The period in which it goes down and up.
    pub(super) flap: Option<Duration>,
    /// Its side of all partitions, a bit for each.
    pub(super) side: u8,
}

/// Returns what each node suffers, by rank.
pub(super) fn suffers(faults: &[&Fault], nodes: u16) -> Vec<Suffers> {
    let mut all = vec![Suffers::default(); usize::from(nodes)];
    for low in 0..nodes {
        for high in low + 1..nodes {
            let of_each = faults.iter().map(|fault| fault.condition(low, high));
            let joined = of_each.fold(Condition::PASS, Condition::worse);
            let mut arrives = |to: u16, from: u16, flow: Flow| {
                let node = &mut all[usize::from(to)];
                if joined.cut {
                    node.reset.insert(from);
                } else if flow != Flow::Pass {
                    // What TCP holds back it sends again later, so to swallow and to hold are the same here.
                    node.drop.insert(from);
                }
            };
            arrives(high, low, joined.forth.flow);
            arrives(low, high, joined.back.flow);
        }
    }
    let partitions = faults
        .iter()
        .filter(|fault| matches!(fault.how, How::Between(..)));
    for (bit, fault) in partitions.enumerate() {
        for &rank in &fault.nodes {
            all[usize::from(rank)].side |= 1 << bit.min(7);
        }
    }
    for (rank, node) in (0..).zip(&mut all) {
        let here = faults.iter().filter(|fault| fault.nodes.contains(&rank));
        let at = here.filter_map(|fault| match &fault.how {
            How::At(_, condition) => Some(*condition),
            How::Plain | How::Between(..) | How::OneWay { .. } | How::Strikes(_) => None,
        });
        let joined = at.fold(Condition::PASS, Condition::worse);
        node.flap = joined.flap;
        node.shape = (joined.forth != Way::PASS).then_some(joined.forth);
    }
    all
}

/// Returns the script that makes `nft` drop and reset what comes from these addresses, and nothing else.
pub(super) fn nft(drop: &[Ipv4Addr], reset: &[Ipv4Addr]) -> String {
    let mut chain = String::new();
    let list = |addresses: &[Ipv4Addr]| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    if !drop.is_empty() {
        chain.push_str(&format!(
            "iifname \"mesh\" ip saddr {{ {} }} drop\n",
            list(drop)
        ));
    }
    if !reset.is_empty() {
        let from = format!("iifname \"mesh\" ip saddr {{ {} }}", list(reset));
        chain.push_str(&format!("{from} meta l4proto tcp reject with tcp reset\n"));
    }
    format!(
        "table inet radixmesh {{ }}\ndelete table inet radixmesh\ntable inet radixmesh {{\n\
         chain in {{\ntype filter hook input priority 0;\n{chain}}}\n}}\n"
    )
}

/// Returns the same for `iptables-restore`.
pub(super) fn iptables(drop: &[Ipv4Addr], reset: &[Ipv4Addr]) -> String {
    let mut rules = String::new();
    for address in drop {
        rules.push_str(&format!("-A INPUT -i mesh -s {address} -j DROP\n"));
    }
    for address in reset {
        let from = format!("-A INPUT -i mesh -s {address} -p tcp");
        rules.push_str(&format!("{from} -j REJECT --reject-with tcp-reset\n"));
    }
    format!("*filter\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n")
}

/// Returns the words of `tc` for a late and narrow link.
pub(super) fn netem(way: &Way) -> Vec<String> {
    let us = |time: Duration| format!("{}us", time.as_micros());
    let mut words = vec!["netem".to_owned(), "delay".to_owned(), us(way.delay)];
    if !way.jitter.is_zero() {
        words.push(us(way.jitter));
    }
    if let Some(rate) = way.rate {
        words.extend(["rate".to_owned(), format!("{rate}bps")]);
    }
    words
}

/// Returns the words of `tc` for a narrow link.
pub(super) fn tbf(way: &Way) -> Vec<String> {
    let rate = way.rate.map_or(u64::from(u32::MAX), |rate| rate.get());
    let rate = format!("{rate}bps");
    ["tbf", "rate", &rate, "burst", "16kb", "latency", "400ms"]
        .map(str::to_owned)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::super::super::fault::Kind;
    use super::*;

    fn fault(kind: Kind, nodes: &[u16], how: How) -> Fault {
        Fault {
            kind,
            nodes: nodes.to_vec(),
            begin: Duration::ZERO,
            end: Duration::ZERO,
            how,
        }
    }

    #[test]
    fn a_partition_keeps_the_sides_apart_in_both_directions() {
        let cut = fault(Kind::Partition, &[1], How::Between("reset", Condition::CUT));
        let all = suffers(&[&cut], 3);
        assert_eq!(all[1].reset, BTreeSet::from([0, 2]));
        assert_eq!(all[0].reset, BTreeSet::from([1]));
        assert_eq!([all[0].side, all[1].side, all[2].side], [0, 1, 0]);
        let hole = How::Between("swallowed", Condition::BLACK_HOLE);
        let all = suffers(&[&fault(Kind::Partition, &[0, 1], hole)], 3);
        assert_eq!(all[2].drop, BTreeSet::from([0, 1]));
        assert!(all[2].reset.is_empty());
    }

    #[test]
    fn a_deaf_node_hears_nobody_and_nobody_hears_a_mute_one() {
        let deaf = fault(Kind::OneWay, &[1], How::OneWay { deaf: true });
        let all = suffers(&[&deaf], 3);
        assert_eq!(all[1].drop, BTreeSet::from([0, 2]));
        assert!(all[0].drop.is_empty() && all[2].drop.is_empty());
        let mute = fault(Kind::OneWay, &[1], How::OneWay { deaf: false });
        let all = suffers(&[&mute], 3);
        assert!(all[1].drop.is_empty());
        assert_eq!([&all[0].drop, &all[2].drop], [&BTreeSet::from([1]); 2]);
    }

    #[test]
    fn slow_and_flapping_links_are_those_of_the_node_alone() {
        let ms = Duration::from_millis;
        let slow = Condition::slow(ms(20), ms(5), NonZeroU64::new(16_384));
        let slow = fault(Kind::Slow, &[2], How::At(String::new(), slow));
        let flap = fault(
            Kind::Flap,
            &[0],
            How::At(String::new(), Condition::flapping(ms(300))),
        );
        let all = suffers(&[&slow, &flap], 3);
        assert_eq!(all[0].flap, Some(ms(300)));
        assert_eq!((all[1].clone(), all[2].flap), (Suffers::default(), None));
        let way = all[2].shape.unwrap();
        assert_eq!(
            netem(&way).join(" "),
            "netem delay 20000us 5000us rate 16384bps"
        );
        assert_eq!(tbf(&way)[2], "16384bps");
        assert!(all[0].shape.is_none());
    }

    #[test]
    fn scripts_name_every_address_once_and_replace_what_was_there() {
        let [one, two] = [1, 2].map(|last| Ipv4Addr::new(198, 18, 0, last));
        let script = nft(&[one], &[two]);
        assert!(script.contains("saddr { 198.18.0.1 } drop"));
        assert!(script.contains("saddr { 198.18.0.2 } meta l4proto tcp reject"));
        assert!(script.contains("delete table"));
        assert!(!nft(&[], &[]).contains("saddr"));
        let script = iptables(&[one], &[two]);
        assert!(script.contains("-s 198.18.0.1 -j DROP\n"));
        assert!(script.contains("-s 198.18.0.2 -p tcp -j REJECT"));
    }
}
