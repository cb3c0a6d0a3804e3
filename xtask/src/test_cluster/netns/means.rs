//! What the system offers to disturb its network with: tried, not guessed.

use std::fmt::{self, Display};

use serde::Serialize;

use super::super::fault::Kind;
use super::command::run;
use super::rules;

/// What keeps packets away from a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Filter {
    /// `nft`.
    Nft,
    /// `iptables-restore`.
    Iptables,
    /// A bridge for each side of a partition: nothing works in one direction only.
    #[default]
    Bridges,
}

/// What makes links slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shaper {
    /// `tc ... netem`: late and narrow.
    Netem,
    /// `tc ... tbf`: narrow.
    Tbf,
    /// Nothing does.
    #[default]
    Nothing,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Means {
    /// What keeps packets away.
    pub(crate) filter: Filter,
    /// What makes links slow.
    pub(crate) shaper: Shaper,
    /// What is missing, why, and what follows from it: a sentence each.
    pub(crate) missing: Vec<String>,
}

/// Tries what there is, on a link and in a namespace that nobody uses yet.
pub(super) async fn probe(link: &str, namespace: &str) -> Means {
    let mut missing = Vec::new();
    let filter = filter(namespace, &mut missing).await;
    let shaper = shaper(link, &mut missing).await;
    Means {
        filter,
        shaper,
        missing,
    }
}

async fn filter(namespace: &str, missing: &mut Vec<String>) -> Filter {
    let someone = [std::net::Ipv4Addr::new(198, 18, 0, 1)];
    let nft = |script: String| async move {
        let words = ["netns", "exec", namespace, "nft", "-f", "-"];
        run("ip", &words, &script).await
    };
    let Err(without_nft) = nft(rules::nft(&someone, &someone)).await else {
        let _ = nft(rules::nft(&[], &[])).await;
        return Filter::Nft;
    };
    let iptables = |script: String| async move {
        let words = ["netns", "exec", namespace, "iptables-restore"];
        run("ip", &words, &script).await
    };
    let Err(without_iptables) = iptables(rules::iptables(&someone, &someone)).await else {
        let _ = iptables(rules::iptables(&[], &[])).await;
        return Filter::Iptables;
    };
    missing.push(format!(
        "neither nft ({without_nft:#}) nor iptables ({without_iptables:#}): partitions move nodes to another bridge, and \
         links cannot work in one direction only"
    ));
    Filter::Bridges
}

async fn shaper(link: &str, missing: &mut Vec<String>) -> Shaper {
    let attempt = |words: &'static [&'static str]| async move {
        let add = ["qdisc", "add", "dev", link, "root"];
        run("tc", &[&add, words].concat(), "").await?;
        run("tc", &["qdisc", "del", "dev", link, "root"], "").await
    };
    let Err(without_netem) = attempt(&["netem", "delay", "1ms"]).await else {
        return Shaper::Netem;
    };
    let tbf = &[
        "tbf",
        "rate",
        "100000bps",
        "burst",
        "16kb",
        "latency",
        "100ms",
    ];
    let Err(without_tbf) = attempt(tbf).await else {
        missing.push(format!(
            "no netem ({without_netem:#}): slow links are narrow, not late"
        ));
        return Shaper::Tbf;
    };
    missing.push(format!(
        "neither netem ({without_netem:#}) nor tbf ({without_tbf:#}): no link can be slow"
    ));
    Shaper::Nothing
}

impl Means {
    /// Returns those of the kinds that can happen here.
    ///
    /// Errors: none can; why.
    pub(crate) fn possible(&self, kinds: &[Kind]) -> anyhow::Result<Vec<Kind>> {
        let can = |kind: &Kind| match kind {
            Kind::OneWay => self.filter != Filter::Bridges,
            Kind::Slow => self.shaper != Shaper::Nothing,
            Kind::Kill | Kind::Pause | Kind::Partition | Kind::Flap | Kind::Churn => true,
        };
        let (kinds, left_out): (Vec<Kind>, Vec<Kind>) = kinds.iter().partition(|kind| can(kind));
        anyhow::ensure!(!kinds.is_empty(), "no such fault is possible: {self}");
        if !left_out.is_empty() {
            let names: Vec<String> = left_out.iter().map(ToString::to_string).collect();
            eprintln!("left out: {}", names.join(", "));
        }
        Ok(kinds)
    }
}

impl Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = match self.filter {
            Filter::Nft => "nft",
            Filter::Iptables => "iptables",
            Filter::Bridges => "bridges",
        };
        let shaper = match self.shaper {
            Shaper::Netem => "netem",
            Shaper::Tbf => "tbf",
            Shaper::Nothing => "nothing",
        };
        write!(f, "partitions by {filter}, slow links by {shaper}")?;
        for missing in &self.missing {
            write!(f, "; {missing}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_without_means_are_left_out_and_none_left_is_an_error() {
        let poor = Means::default();
        let kinds = [Kind::Slow, Kind::Kill, Kind::OneWay, Kind::Partition];
        assert_eq!(
            poor.possible(&kinds).unwrap(),
            [Kind::Kill, Kind::Partition]
        );
        assert!(poor.possible(&[Kind::Slow]).is_err());
        let narrow = Means {
            shaper: Shaper::Tbf,
            filter: Filter::Nft,
            ..poor
        };
        assert_eq!(narrow.possible(&kinds).unwrap(), kinds);
    }
}
