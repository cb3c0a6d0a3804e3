//! The one line that a node prints to stdout when it listens. Who starts a node waits for it.

use serde::{Deserialize, Serialize};

/// A node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "listening")]
pub struct Listening {
    /// Its rank.
    pub rank: u16,
    /// `prefill`, `decode` or `router`.
    pub role: String,
    /// Where peers reach it.
    pub mesh: String,
    /// Where its admin port is; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// The process.
    pub pid: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_frozen() {
        let listening = Listening {
            rank: 0,
            role: "prefill".to_owned(),
            mesh: "127.0.0.1:7000".to_owned(),
            admin: Some("127.0.0.1:8000".to_owned()),
            pid: 12,
        };
        let line = r#"{"event":"listening","rank":0,"role":"prefill","mesh":"127.0.0.1:7000","admin":"127.0.0.1:8000","pid":12}"#;
        assert_eq!(serde_json::to_string(&listening).unwrap(), line);
        assert_eq!(serde_json::from_str::<Listening>(line).unwrap(), listening);
    }
}
