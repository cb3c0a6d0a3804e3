//! Why a TLS session did not come about, by name. Names in certificates are [`RejectReason`](crate::RejectReason)s.

use rustls::{CertificateError, Error, PeerIncompatible};

/// The peer and this end did not agree on a TLS session.
///
/// State: the stream is closed; nothing of the link's handshake was believed. Caller: none; somebody has to renew a
/// certificate, correct the configuration, or find out who knocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// What came to a port with TLS was no TLS.
    #[error("the peer speaks no TLS, and this port nothing else (first byte {first:#04x})")]
    PlaintextPeer {
        /// What it began with.
        first: u8,
    },
    /// What came to a port without TLS was a TLS hello.
    #[error("the peer speaks TLS, and this port does not")]
    TlsPeer,
    /// The peer's certificate, or one that it rests on, is over.
    #[error("the peer's certificate has expired")]
    Expired,
    /// The peer's certificate, or one that it rests on, is of the future. A clock may be wrong.
    #[error("the peer's certificate is not valid yet")]
    NotYetValid,
    /// The peer's certificate does not end at a CA that is trusted here.
    #[error("the peer's certificate is of no CA that is trusted here")]
    UnknownCa,
    /// The peer showed no certificate.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// The peer's certificate will not do for another reason.
    #[error("the peer's certificate will not do: {why}")]
    BadCertificate {
        /// The reason.
        why: String,
    },
    /// The peer offers nothing that is accepted here: TLS 1.2, unknown ciphers.
    #[error("nothing in common with the peer: {why}")]
    Incompatible {
        /// What is missing.
        why: String,
    },
    /// The peer refused this end, most likely its certificate.
    #[error("the peer refused this end: {alert}")]
    Refused {
        /// Its alert.
        alert: String,
    },
    /// The peer sent more than a handshake takes.
    #[error("more than {max} bytes and still no session")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// The peer broke the protocol of TLS.
    #[error("broken TLS: {why}")]
    Broken {
        /// How.
        why: String,
    },
}

impl TlsError {
    /// The labels of all variants, in order.
    pub const LABELS: [&'static str; 11] = [
        "plaintext_peer",
        "tls_peer",
        "expired",
        "not_yet_valid",
        "unknown_ca",
        "no_certificate",
        "bad_certificate",
        "incompatible",
        "refused",
        "too_long",
        "broken",
    ];

    /// Returns the name under which the error is counted.
    #[must_use]
    pub fn label(&self) -> &'static str {
        Self::LABELS[self.index()]
    }

    pub(crate) fn index(&self) -> usize {
        match self {
            TlsError::PlaintextPeer { .. } => 0,
            TlsError::TlsPeer => 1,
            TlsError::Expired => 2,
            TlsError::NotYetValid => 3,
            TlsError::UnknownCa => 4,
            TlsError::NoCertificate => 5,
            TlsError::BadCertificate { .. } => 6,
            TlsError::Incompatible { .. } => 7,
            TlsError::Refused { .. } => 8,
            TlsError::TooLong { .. } => 9,
            TlsError::Broken { .. } => 10,
        }
    }
}

impl From<&Error> for TlsError {
    fn from(error: &Error) -> TlsError {
        let why = error.to_string();
        match error {
            Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    TlsError::Expired
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    TlsError::NotYetValid
                }
                // Another CA of the same name has another key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    TlsError::UnknownCa
                }
                _ => TlsError::BadCertificate { why },
            },
            Error::NoCertificatesPresented => TlsError::NoCertificate,
            Error::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(_)) => {
                TlsError::Broken { why }
            }
            Error::PeerIncompatible(_) => TlsError::Incompatible { why },
            Error::AlertReceived(alert) => TlsError::Refused {
                alert: format!("{alert:?}"),
            },
            _ => TlsError::Broken { why },
        }
    }
}
