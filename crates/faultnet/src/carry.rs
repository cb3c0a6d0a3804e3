//! One connection through a proxy, from its arrival to its end.

use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::condition::{Condition, Flow, Side};
use crate::limits::{CHUNK_BYTES, SOCKET_BUFFER_BYTES};
use crate::proxy::Ledger;
use crate::pump::{Pump, Reset};

/// Carries a connection that arrived until both directions have ended, or it must be reset.
pub(crate) async fn carry(
    dialer: TcpStream,
    target: SocketAddr,
    mut condition: watch::Receiver<Condition>,
    ledger: &Ledger,
    seed: u64,
) {
    let Ok(server) = open(&dialer, target, &mut condition, ledger).await else {
        return reset(&dialer, ledger);
    };
    let forth = Pump::new(
        (&dialer, &server),
        Side::Forth,
        condition.clone(),
        ledger,
        seed,
    );
    let back = Pump::new((&server, &dialer), Side::Back, condition, ledger, !seed);
    if let Err(Reset) = tokio::try_join!(forth.run(), back.run()) {
        // A reset that cannot be sent is a plain close.
        let _ = server.set_zero_linger();
        reset(&dialer, ledger);
    }
}

/// Waits until bytes reach the target, and dials it.
async fn open(
    dialer: &TcpStream,
    target: SocketAddr,
    condition: &mut watch::Receiver<Condition>,
    ledger: &Ledger,
) -> Result<TcpStream, Reset> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut swallowed, mut ended) = (false, false);
    loop {
        let now = *condition.borrow_and_update();
        if now.cut {
            return Err(Reset);
        }
        let swallows = match now.forth.flow {
            Flow::Pass if swallowed => return Err(Reset),
            Flow::Pass => break,
            Flow::Hold => false,
            Flow::Swallow => true,
        };
        swallowed |= swallows;
        tokio::select! {
            biased;
            changed = condition.changed() => changed.map_err(|_| Reset)?,
            readable = dialer.readable(), if swallows && !ended => {
                match readable.and_then(|()| dialer.try_read(&mut buffer)) {
                    Ok(bytes) if bytes > 0 => ledger.swallowed(Side::Forth, bytes),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Ok(_) | Err(_) => ended = true,
                }
            }
        }
    }
    let server = dial(target).await.map_err(|_| Reset)?;
    Ok(server)
}

async fn dial(target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match target {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Makes the end of the stream a reset. It happens when the stream is dropped.
pub(crate) fn reset(stream: &TcpStream, ledger: &Ledger) {
    ledger.reset();
    // A reset that cannot be sent is a plain close.
    let _ = stream.set_zero_linger();
}
