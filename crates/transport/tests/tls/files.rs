//! Credentials that would not do are found out before anything listens.

use std::fs;

use transport::tls::{Files, FilesError};

use crate::pki::{Ca, Wish, open};

fn refused(files: Files) -> (FilesError, String) {
    match open(files, 1) {
        Ok(_) => panic!("taken"),
        Err(error) => {
            let text = error.to_string();
            (error, text)
        }
    }
}

#[test]
fn good_files_are_taken_and_their_end_is_known() {
    let ca = Ca::new();
    let status = ca.node(1).status();
    assert_eq!(status.name, "radixmesh://test/prefill/1");
    let day = status.not_after_s - status.not_before_s;
    assert_eq!(day, 25 * 3_600);
    assert_eq!((status.reloads, status.reload_errors), (0, 0));
}

#[test]
fn files_that_are_missing_or_hold_something_else_are_named() {
    let ca = Ca::new();
    let good = ca.issue("good", &Wish::node(1));
    let broken = ca.path("broken");
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\nrubbish").unwrap();
    let empty = ca.path("empty");
    fs::write(&empty, "").unwrap();
    let large = ca.path("large");
    fs::write(&large, vec![b'x'; 2 << 20]).unwrap();
    for bad in [ca.path("absent"), broken, empty, large] {
        for which in 0..3 {
            let mut files = good.clone();
            *[&mut files.ca, &mut files.cert, &mut files.key][which] = bad.clone();
            let (error, text) = refused(files);
            assert!(text.contains(&bad.display().to_string()), "{text}");
            assert!(
                matches!(
                    error,
                    FilesError::Unreadable { .. } | FilesError::Content { .. }
                ),
                "{text}"
            );
        }
    }
}

#[test]
fn a_certificate_that_peers_would_refuse_is_refused_here() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let expired = Wish {
        ends: time::Duration::seconds(-1),
        ..Wish::node(1)
    };
    let (error, text) = refused(ca.issue("expired", &expired));
    assert!(
        matches!(error, FilesError::Refused { .. }) && text.contains("expired"),
        "{text}"
    );
    let foreign = Files {
        ca: ca.issue("own", &Wish::node(1)).ca,
        ..stranger.issue("foreign", &Wish::node(1))
    };
    assert!(matches!(refused(foreign).0, FilesError::Refused { .. }));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let ca = Ca::new();
    let files = Files {
        key: ca.issue("b", &Wish::node(1)).key,
        ..ca.issue("a", &Wish::node(1))
    };
    assert!(matches!(refused(files).0, FilesError::Mismatch { .. }));
}

#[test]
fn a_certificate_of_another_node_is_refused() {
    let ca = Ca::new();
    let cases: [&[&str]; 4] = [
        &["radixmesh://test/prefill/2"],
        &["radixmesh://test/decode/1"],
        &["radixmesh://other/prefill/1"],
        &[],
    ];
    for uris in cases {
        let (error, text) = refused(ca.issue("other", &Wish::named(uris)));
        assert!(matches!(error, FilesError::OtherNode { .. }), "{text}");
        assert!(
            text.contains("this node is radixmesh://test/prefill/1"),
            "{text}"
        );
    }
}
