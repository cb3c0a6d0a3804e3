//! What a verified certificate says of its owner, and whether that is what the owner claims.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::credentials::Credentials;
use super::name::Name;
use crate::error::{RejectReason, Rejection};
use crate::identity::NodeId;

/// What is read out of a certificate.
pub(super) struct Seen {
    /// The one name of our form; `None` when there is none, or more than one.
    pub(super) name: Option<Name>,
    pub(super) not_before_s: i64,
    pub(super) not_after_s: i64,
}

/// Reads a certificate whose chain was verified.
///
/// Errors: what the parser said; it is stricter than the verifier.
pub(super) fn read(certificate: &CertificateDer<'_>) -> Result<Seen, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let validity = parsed.validity();
    let alternatives = parsed
        .subject_alternative_name()
        .map_err(|error| error.to_string())?;
    let mut names = alternatives
        .iter()
        .flat_map(|alternatives| &alternatives.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Name::parse(uri),
            _ => None,
        });
    let name = names.next().filter(|_| names.next().is_none());
    Ok(Seen {
        name,
        not_before_s: validity.not_before.timestamp(),
        not_after_s: validity.not_after.timestamp(),
    })
}

/// What the peer of a TLS session proved: waits for its claims in the link's handshake.
pub(crate) struct Proof {
    name: Option<Name>,
    ours: Arc<Credentials>,
}

impl Proof {
    /// Reads the certificate of a peer whose chain was verified.
    pub(super) fn of(
        certificate: &CertificateDer<'_>,
        ours: Arc<Credentials>,
    ) -> Result<Proof, String> {
        let name = read(certificate)?.name;
        Ok(Proof { name, ours })
    }

    /// Returns the one name in the certificate, if it has exactly one.
    pub(crate) fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// Checks the claim to be `node` of this cluster.
    // spec: TLS-3
    pub(crate) fn check_node(&self, node: NodeId) -> Result<(), Rejection> {
        let Some(name) = &self.name else {
            return Err(RejectReason::CertName
                .because("the certificate has not one URI radixmesh://cluster/role/rank"));
        };
        let me = self.ours.name();
        if !name.same_cluster(me) {
            return Err(RejectReason::CertCluster
                .because(format!("the certificate is of {name}, this end of {me}")));
        }
        if !name.is_node(node) {
            return Err(RejectReason::CertRank.because(format!(
                "the certificate is of {name}, the claim is node {node}"
            )));
        }
        Ok(())
    }

    /// Checks the role of a node that claims to be `node` and is known here.
    // spec: TLS-3
    pub(crate) fn check_role(&self, node: NodeId) -> Result<(), Rejection> {
        match (&self.name, self.ours.role_of(node)) {
            (Some(name), Some(role)) if !name.has_role(&role) => Err(RejectReason::CertRole
                .because(format!(
                    "the certificate is of {name}, node {node} is {role}"
                ))),
            _ => Ok(()),
        }
    }
}
