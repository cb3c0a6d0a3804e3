//! Which addresses cannot be reached from another machine.

use std::net::IpAddr;

/// Returns whether `host:port` is on this machine for certain: a loopback address, or the name `localhost`.
///
/// Other names are not asked for: what they resolve to may change.
pub fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => ip.to_canonical().is_loopback(),
        Ok(ip) => ip.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_everything_else() {
        for near in [
            "127.0.0.1:1",
            "127.8.9.1:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
            "localhost:1",
            "LocalHost:1",
        ] {
            assert!(is_loopback(near), "{near}");
        }
        for far in [
            "0.0.0.0:1",
            "[::]:1",
            "10.0.0.1:1",
            "node-1:1",
            "localhost.example:1",
            "128.0.0.1:1",
            "[fe80::1]:1",
            "",
        ] {
            assert!(!is_loopback(far), "{far}");
        }
    }
}
