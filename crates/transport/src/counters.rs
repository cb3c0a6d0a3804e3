//! What happened, counted by name. Every bound that is reached and every refusal is here.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::{CloseReason, HandshakeError, ProtocolError, RejectReason};
use crate::lane::Lane;
use crate::tls::TlsError;

const LANES: [&str; Lane::COUNT] = ["control", "data", "bulk"];

/// The counters of one transport and of the links over it. They only grow.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) frames_in: [AtomicU64; Lane::COUNT],
    pub(crate) frames_out: [AtomicU64; Lane::COUNT],
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) sends_full: [AtomicU64; Lane::COUNT],
    pub(crate) sends_too_large: AtomicU64,
    pub(crate) reads_paused: AtomicU64,
    pub(crate) opened: AtomicU64,
    closed: [AtomicU64; CloseReason::LABELS.len()],
    protocol_errors: [AtomicU64; ProtocolError::LABELS.len()],
    rejects_sent: [AtomicU64; RejectReason::LABELS.len()],
    rejects_received: [AtomicU64; RejectReason::LABELS.len()],
    tls_errors: [AtomicU64; TlsError::LABELS.len()],
    handshakes_timed_out: AtomicU64,
    handshakes_broken: AtomicU64,
    pub(crate) handshakes_evicted: AtomicU64,
    pub(crate) handshakes_evicted_of_source: AtomicU64,
    pub(crate) accepts_failed: AtomicU64,
    pub(crate) introductions: AtomicU64,
    pub(crate) introductions_answered: AtomicU64,
    pub(crate) dials: AtomicU64,
    pub(crate) dials_failed: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

impl Counters {
    /// Calls `f(name, label, value)` for every counter; the label is empty where a name has only one.
    ///
    /// Cost: about 90 calls. The values are read one after the other, not at one instant.
    pub fn each(&self, mut f: impl FnMut(&'static str, &'static str, u64)) {
        let mut family = |name, labels: &[&'static str], values: &[AtomicU64]| {
            for (label, value) in labels.iter().zip(values) {
                f(name, label, value.load(Relaxed));
            }
        };
        family("frames_in", &LANES, &self.frames_in);
        family("frames_out", &LANES, &self.frames_out);
        family("sends_full", &LANES, &self.sends_full);
        family("closed", &CloseReason::LABELS, &self.closed);
        family(
            "protocol_errors",
            &ProtocolError::LABELS,
            &self.protocol_errors,
        );
        family("rejects_sent", &RejectReason::LABELS, &self.rejects_sent);
        family(
            "rejects_received",
            &RejectReason::LABELS,
            &self.rejects_received,
        );
        family("tls_errors", &TlsError::LABELS, &self.tls_errors);
        for (name, value) in [
            ("bytes_in", &self.bytes_in),
            ("bytes_out", &self.bytes_out),
            ("sends_too_large", &self.sends_too_large),
            ("reads_paused", &self.reads_paused),
            ("opened", &self.opened),
            ("handshakes_timed_out", &self.handshakes_timed_out),
            ("handshakes_broken", &self.handshakes_broken),
            ("handshakes_evicted", &self.handshakes_evicted),
            (
                "handshakes_evicted_of_source",
                &self.handshakes_evicted_of_source,
            ),
            ("accepts_failed", &self.accepts_failed),
            ("introductions", &self.introductions),
            ("introductions_answered", &self.introductions_answered),
            ("dials", &self.dials),
            ("dials_failed", &self.dials_failed),
        ] {
            f(name, "", value.load(Relaxed));
        }
    }

    /// Returns one counter, or `None` if there is none of that name and label. For tests and status pages.
    #[must_use]
    pub fn get(&self, name: &str, label: &str) -> Option<u64> {
        let mut found = None;
        self.each(|n, l, value| {
            if n == name && l == label {
                found = Some(value);
            }
        });
        found
    }

    pub(crate) fn closed(&self, reason: &CloseReason) {
        add(&self.closed[reason.index()], 1);
        match reason {
            CloseReason::Protocol(error) => self.protocol_error(error),
            CloseReason::Rejected(rejection) => {
                add(&self.rejects_received[rejection.reason as usize], 1)
            }
            _ => {}
        }
    }

    pub(crate) fn protocol_error(&self, error: &ProtocolError) {
        add(&self.protocol_errors[error.index()], 1);
    }

    pub(crate) fn handshake_failed(&self, error: &HandshakeError) {
        match error {
            HandshakeError::Timeout => add(&self.handshakes_timed_out, 1),
            HandshakeError::Closed | HandshakeError::Io { .. } => add(&self.handshakes_broken, 1),
            HandshakeError::Tls(error) => add(&self.tls_errors[error.index()], 1),
            HandshakeError::Protocol(error) => self.protocol_error(error),
            HandshakeError::RejectedByPeer(rejection) => {
                add(&self.rejects_received[rejection.reason as usize], 1)
            }
            HandshakeError::RejectedPeer(rejection) => {
                add(&self.rejects_sent[rejection.reason as usize], 1)
            }
        }
    }
}
