//! Finds free loopback ports. Holds them until it is dropped, just before the nodes bind them.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Below the range that systems give to outgoing connections (Linux: from 32768): while a node is down, no
/// connection of another one may land on its port. Port 0 would choose from just that range.
const PORTS: Range<u16> = 10_000..30_000;
/// How many ports are tried for each that is needed.
const TRIES_PER_PORT: usize = 64;

/// Ports that nobody else listens on while this lives.
pub(super) struct Ports {
    pub(super) mesh: Vec<u16>,
    pub(super) admin: Vec<u16>,
    _held: Vec<TcpListener>,
}

/// Takes two ports for each node.
pub(super) fn free(nodes: usize) -> io::Result<Ports> {
    let wanted = nodes * 2;
    let mut held = Vec::with_capacity(wanted);
    let mut ports = Vec::with_capacity(wanted);
    let mut last = None;
    for _ in 0..wanted * TRIES_PER_PORT {
        if ports.len() == wanted {
            break;
        }
        let port = fastrand::u16(PORTS);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => {
                held.push(listener);
                ports.push(port);
            }
            Err(error) => last = Some(error),
        }
    }
    if ports.len() < wanted {
        return Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()));
    }
    let admin = ports.split_off(nodes);
    Ok(Ports {
        mesh: ports,
        admin,
        _held: held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_outside_the_ephemeral_range() {
        let ports = free(20).unwrap();
        let mut all = [ports.mesh.as_slice(), ports.admin.as_slice()].concat();
        assert!(all.iter().all(|port| PORTS.contains(port)));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 40);
    }
}
