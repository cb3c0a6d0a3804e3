//! What a local cluster is made of, and the one configuration file of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use radixmesh::topology::Role;

/// What a local cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// The program, `radixmeshd`.
    pub binary: PathBuf,
    /// Prefill nodes; ranks from 0.
    pub prefill: usize,
    /// Decode nodes; ranks behind those.
    pub decode: usize,
    /// Router nodes; the last ranks.
    pub router: usize,
    /// Tokens in a page.
    pub page_size: u16,
    /// Pool of the simulated engine of each prefill and decode node. Unit: pages; 0 hosts none.
    pub pages_per_node: usize,
    /// Time of the simulated engine for one token. Unit: microseconds.
    pub prefill_us_per_token: u64,
    /// Fan-out of broadcasts: 1 is the ring.
    pub fanout: u16,
    /// Every node records its own log in [`Cluster::record`](super::Cluster::record).
    pub record_logs: bool,
    /// Every node remembers when it applied what.
    pub trace_applies: bool,
    /// More keys for all nodes as `(key, TOML value)`; they win over everything above.
    pub set: Vec<(String, String)>,
    /// `via[from][to]`: where node `from` dials node `to`, such as a proxy; where absent, the node itself. Of two nodes
    /// the one with the lower rank dials.
    pub via: Vec<Vec<Option<String>>>,
    /// Where configuration, logs and records go, and stay; a temporary directory when absent.
    pub dir: Option<PathBuf>,
    /// How long all nodes may take to listen, and again to become ready.
    pub start_max: Duration,
}

impl ClusterSpec {
    /// Returns 3 prefill, 2 decode and 1 router nodes without engines, on a ring.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> ClusterSpec {
        ClusterSpec {
            binary: binary.into(),
            prefill: 3,
            decode: 2,
            router: 1,
            page_size: 16,
            pages_per_node: 0,
            prefill_us_per_token: 0,
            fanout: 4,
            record_logs: false,
            trace_applies: false,
            set: Vec::new(),
            via: Vec::new(),
            dir: None,
            start_max: Duration::from_secs(20),
        }
    }

    pub(super) fn roles(&self) -> Vec<Role> {
        let of = |role, count| std::iter::repeat_n(role, count);
        of(Role::Prefill, self.prefill)
            .chain(of(Role::Decode, self.decode))
            .chain(of(Role::Router, self.router))
            .collect()
    }

    /// Draws what nobody chose and all nodes must agree on.
    pub(super) fn settle(&mut self) {
        let text = |text: &str| toml::Value::from(text).to_string();
        let drawn = [
            ("cluster", format!("local-{:08x}", fastrand::u32(..))),
            ("fingerprint_key", format!("{:016x}", fastrand::u64(..))),
        ];
        for (key, value) in drawn {
            if self.set.iter().all(|(name, _)| name != key) {
                self.set.push((key.to_owned(), text(&value)));
            }
        }
    }

    /// Returns where node `from` dials others than at their own addresses, as the key `via` has it.
    fn ways_of(&self, from: usize) -> Vec<String> {
        let ways = self.via.get(from).into_iter().flatten().enumerate();
        ways.filter_map(|(to, at)| Some(format!("{to}={}", at.as_ref()?)))
            .collect()
    }

    /// Returns the file for node `from`, where it dials others in ways of its own.
    pub(super) fn own_toml(&self, from: usize, addresses: &[String], dir: &Path) -> Option<String> {
        let ways = self.ways_of(from);
        if ways.is_empty() {
            return None;
        }
        let mut spec = self.clone();
        spec.set
            .push(("via".to_owned(), toml::Value::from(ways).to_string()));
        Some(spec.toml(addresses, dir))
    }

    /// Returns the file for the nodes at these mesh addresses, of a spec that is settled.
    pub(super) fn toml(&self, addresses: &[String], dir: &Path) -> String {
        let (prefill, rest) = addresses.split_at(self.prefill);
        let (decode, router) = rest.split_at(self.decode);
        let text = |text: &str| toml::Value::from(text).to_string();
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut put =
            |key: &str, value: String| match pairs.iter_mut().find(|(name, _)| name == key) {
                Some(pair) => pair.1 = value,
                None => pairs.push((key.to_owned(), value)),
            };
        for (key, list) in [("prefill", prefill), ("decode", decode), ("router", router)] {
            put(key, toml::Value::from(list.to_vec()).to_string());
        }
        put("page_size", self.page_size.to_string());
        put("fanout", self.fanout.to_string());
        put("trace_applies", self.trace_applies.to_string());
        put(
            "simulated_engine.capacity_pages",
            self.pages_per_node.to_string(),
        );
        put(
            "simulated_engine.prefill_us_per_token",
            self.prefill_us_per_token.to_string(),
        );
        if self.record_logs {
            put(
                "record_log",
                text(&record_path(dir, "{rank}").to_string_lossy()),
            );
        }
        for (key, value) in &self.set {
            put(key, value.clone());
        }
        pairs
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect()
    }
}

pub(super) fn record_path(dir: &Path, rank: &str) -> PathBuf {
    dir.join(format!("record-{rank}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, Sources};

    #[test]
    fn the_file_is_good_for_every_node_and_its_own_keys_win() {
        let set = vec![
            ("page_size".to_owned(), "4".to_owned()),
            ("heartbeat".to_owned(), "\"90ms\"".to_owned()),
        ];
        let mut spec = ClusterSpec {
            prefill: 1,
            decode: 1,
            router: 1,
            record_logs: true,
            set,
            via: vec![vec![None, Some("localhost:9".to_owned())]],
            ..ClusterSpec::new("x")
        };
        spec.settle();
        let addresses = ["localhost:1", "localhost:2", "localhost:3"].map(str::to_owned);
        let own = spec.own_toml(0, &addresses, Path::new("/x")).unwrap();
        assert!(own.contains("via = [\"1=localhost:9\"]\n"), "{own}");
        assert_eq!(spec.own_toml(1, &addresses, Path::new("/x")), None);
        let file = std::env::temp_dir().join(format!("radixmesh-spec-{}.toml", std::process::id()));
        std::fs::write(&file, spec.toml(&addresses, Path::new("/x"))).unwrap();
        for (rank, address) in (0..).zip(addresses) {
            let flag = ("flag --local".to_owned(), "local".to_owned(), address);
            let sources = Sources {
                file: Some(file.clone()),
                flags: vec![flag],
                ..Sources::default()
            };
            let config = Loaded::load(&sources).unwrap().node().unwrap();
            assert_eq!((config.me.0, config.page_size), (rank, 4));
            assert_eq!(config.heartbeat, Duration::from_millis(90));
            assert_eq!(
                config.record_log,
                Some(record_path(Path::new("/x"), &rank.to_string()))
            );
        }
        std::fs::remove_file(file).unwrap();
    }
}
