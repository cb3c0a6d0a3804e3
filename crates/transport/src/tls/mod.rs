//! TLS 1.3 with a certificate on both sides, for transports over sockets: who may speak to whom.
//!
//! A peer is believed when its chain ends at the cluster's CA, and when the one name of the form
//! `radixmesh://cluster/role/rank` in its certificate is what it claims in the link's handshake. Host names and
//! addresses prove nothing here: nodes move. Absent: revocation lists (short lives and a new CA take their place),
//! session tickets (each connection proves itself anew), TLS 1.2.

mod credentials;
mod error;
mod files;
mod name;
mod proof;
mod ration;
mod session;
mod verify;

pub use credentials::{CertificateStatus, Credentials, Roles};
pub use error::TlsError;
pub use files::{Files, FilesError};
pub use name::Name;
pub(crate) use proof::Proof;
pub(crate) use session::{accept, connect};
