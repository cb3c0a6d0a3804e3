//! Files that change while a node runs.

use std::fs;
use std::sync::Arc;

use transport::tls::Credentials;
use transport::{Connection, Identity, Limits, NodeId, Tcp, Transport};

use crate::pki::{Ca, Wish, open};

fn identity(node: u64) -> Identity {
    Identity {
        cluster: 7,
        node: NodeId(node),
        epoch: 1,
        boot: node,
        config_hash: 1,
        protocol: (1, 1),
    }
}

/// Connects node 1 to node 2, whose credentials these are. Returns the dialer's end.
async fn connect(
    one: &Arc<Credentials>,
    two: &Arc<Credentials>,
) -> Result<(Connection, Connection), String> {
    let (near, far) = (
        Tcp::with_tls(Arc::clone(one)),
        Tcp::with_tls(Arc::clone(two)),
    );
    let limits = Limits::default();
    let mut listener = far
        .listen("127.0.0.1:0", Arc::new(identity(2)), limits.clone())
        .await
        .unwrap();
    let address = listener.local_address();
    let dial = near.connect(&address, Arc::new(identity(1)), limits);
    let (dialed, accepted) = tokio::join!(dial, listener.accept());
    match (dialed, accepted) {
        (Ok(dialed), Ok(accepted)) => Ok((dialed, accepted)),
        (dialed, accepted) => Err(format!("{dialed:?}, {accepted:?}")),
    }
}

#[test]
fn files_as_they_were_change_nothing() {
    let ca = Ca::new();
    let node = ca.node(1);
    assert_eq!(node.reload(), Ok(false));
    assert_eq!(node.status().reloads, 0);
}

#[test]
fn a_renewed_certificate_is_taken_over_and_its_end_is_told() {
    let ca = Ca::new();
    let node = ca.node(1);
    let before = node.status().not_after_s;
    let longer = Wish {
        ends: time::Duration::days(3),
        ..Wish::node(1)
    };
    ca.issue("node-1", &longer);
    assert_eq!(node.reload(), Ok(true));
    let after = node.status();
    let two_days = 2 * 86_400;
    assert!((two_days - 5..=two_days + 5).contains(&(after.not_after_s - before)));
    assert_eq!((after.reloads, after.reload_errors), (1, 0));
}

#[test]
fn a_broken_file_is_told_of_once_and_the_old_credentials_stay() {
    let ca = Ca::new();
    let files = ca.issue("node-1", &Wish::node(1));
    let node = open(files.clone(), 1).unwrap();
    let before = node.status();
    let good = fs::read(&files.cert).unwrap();
    fs::write(&files.cert, "rubbish").unwrap();
    assert!(node.reload().is_err());
    assert_eq!(node.reload(), Ok(false), "the same rubbish is no news");
    let broken = node.status();
    assert_eq!(broken.not_after_s, before.not_after_s);
    assert_eq!((broken.reloads, broken.reload_errors), (0, 1));
    assert!(
        broken
            .last_error
            .is_some_and(|text| text.contains("node-1.pem"))
    );
    fs::remove_file(&files.cert).unwrap();
    assert!(node.reload().is_err());
    assert_eq!(node.reload(), Ok(false));
    // As it was before: in use all along.
    fs::write(&files.cert, good).unwrap();
    node.reload().unwrap();
    assert_eq!(node.status().last_error, None);
}

/// Whoever asks while the files are read sees the state before or the state after.
#[test]
fn a_status_never_mixes_two_reads() {
    let ca = Ca::new();
    let files = ca.issue("node-1", &Wish::node(1));
    let good = fs::read(&files.cert).unwrap();
    for _ in 0..100 {
        fs::write(&files.cert, &good).unwrap();
        let node = open(files.clone(), 1).unwrap();
        fs::write(&files.cert, "rubbish").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(node.reload().is_err()));
            loop {
                let status = node.status();
                assert_eq!(status.reload_errors, u64::from(status.last_error.is_some()));
                if status.last_error.is_some() {
                    break;
                }
            }
        });
    }
}

/// A renewal that is caught between its two files waits for the other one.
#[test]
fn a_certificate_whose_key_is_still_the_old_one_is_not_taken() {
    let ca = Ca::new();
    let files = ca.issue("node-1", &Wish::node(1));
    let node = open(files.clone(), 1).unwrap();
    let renewed = ca.issue("renewed", &Wish::node(1));
    fs::copy(&renewed.cert, &files.cert).unwrap();
    assert!(node.reload().is_err());
    fs::copy(&renewed.key, &files.key).unwrap();
    assert_eq!(node.reload(), Ok(true));
}

#[tokio::test]
async fn a_new_ca_is_brought_in_without_a_restart_and_connections_live_on() {
    let (old, new) = (Ca::new(), Ca::new());
    let files = [1, 2].map(|node| old.issue(&format!("node-{node}"), &Wish::node(node)));
    let [one, two] =
        [1, 2].map(|node| Arc::new(open(files[node as usize - 1].clone(), node).unwrap()));
    let (before, _kept) = connect(&one, &two).await.unwrap();
    // Node 2 gets a certificate of the new CA: node 1 does not know it.
    let of_new = new.issue("node-2", &Wish::node(2));
    fs::copy(&of_new.cert, &files[1].cert).unwrap();
    fs::copy(&of_new.key, &files[1].key).unwrap();
    // The issue wrote the old CA's file for both: both CAs now.
    let both = [
        fs::read(&of_new.ca).unwrap(),
        fs::read(&files[0].ca).unwrap(),
    ]
    .concat();
    let ca_of_two = old.path("both.pem");
    fs::write(&ca_of_two, &both).unwrap();
    let renewed = Arc::new(
        open(
            transport::tls::Files {
                ca: ca_of_two,
                ..files[1].clone()
            },
            2,
        )
        .unwrap(),
    );
    assert!(connect(&one, &renewed).await.is_err());
    fs::write(&files[0].ca, &both).unwrap();
    assert_eq!(one.reload(), Ok(true));
    connect(&one, &renewed).await.unwrap();
    assert!(!before.is_closed());
}
