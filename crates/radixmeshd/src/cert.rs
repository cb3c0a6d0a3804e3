//! Makes a cluster's CA and the certificates of its nodes: ECDSA P-256, PEM. It never writes over a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use radixmesh::topology::Role;
use radixmesh::transport::NodeId;
use radixmesh::transport::tls::Name;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use serde::Serialize;
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;

/// Certificates begin this long ago: clocks differ.
const BACKDATE: Duration = Duration::from_secs(300);
/// Mode of a private key: for its owner alone.
const KEY_MODE: u32 = 0o600;
/// Mode of a certificate.
const CERT_MODE: u32 = 0o644;

/// Why a certificate was not made.
#[derive(Debug, Error)]
pub enum CertError {
    /// A cluster has no such name.
    ///
    /// State: nothing was written.
    #[error("a cluster's name has 1 to 64 characters, not {chars}")]
    Cluster {
        /// As given.
        chars: usize,
    },
    /// It would be written over.
    ///
    /// State: nothing was written.
    #[error("{} is there already and is not written over", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    ///
    /// State: what was written before it is removed again.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The CA's files will not do.
    ///
    /// State: nothing was written.
    #[error("{} is no CA: {why}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The certificate would outlive its CA.
    ///
    /// State: nothing was written.
    #[error("the CA ends {ca_not_after} (seconds since 1970), before the certificate would: choose less than --valid {}", humantime::format_duration(Duration::from_secs(*left_s)))]
    BeyondCa {
        /// When the CA ends.
        ca_not_after: u64,
        /// How long it still is valid. Unit: seconds.
        left_s: u64,
    },
    /// The library refused.
    ///
    /// State: nothing was written.
    #[error("the certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// File of the certificate.
    pub cert: PathBuf,
    /// File of its private key.
    pub key: PathBuf,
    /// Whom it names.
    pub name: String,
    /// When it ends. Unit: seconds since 1970.
    pub not_after: u64,
}

/// Whose certificate.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Name of the cluster.
    pub cluster: &'a str,
    /// What the node does.
    pub role: Role,
    /// Its place in the member list.
    pub rank: u16,
}

/// Makes `ca.pem` and `ca.key` in `out`. `now` is the time since 1970.
///
/// Errors: [`CertError`].
pub fn ca(cluster: &str, now: Duration, valid: Duration, out: &Path) -> Result<Made, CertError> {
    check_cluster(cluster)?;
    let name = format!("RadixMesh CA of {cluster}");
    let mut params = params(&name, now, valid);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let cert = params.self_signed(&key)?;
    let made = Made {
        cert: out.join("ca.pem"),
        key: out.join("ca.key"),
        name,
        not_after: (now + valid).as_secs(),
    };
    write(&made, &cert.pem(), &key.serialize_pem())?;
    Ok(made)
}

/// Makes `RANK.pem` and `RANK.key` in `out`, signed with `ca.pem` and `ca.key` in `ca_dir`. `now` is the time since
/// 1970.
///
/// Errors: [`CertError`].
pub fn node(
    who: &Node<'_>,
    ca_dir: &Path,
    now: Duration,
    valid: Duration,
    out: &Path,
) -> Result<Made, CertError> {
    check_cluster(who.cluster)?;
    let (cert_file, key_file) = (ca_dir.join("ca.pem"), ca_dir.join("ca.key"));
    let (ca_pem, ca_key) = (read(&cert_file)?, read(&key_file)?);
    let not_after = now + valid;
    let ca_not_after = end_of_ca(&cert_file, &ca_pem)?;
    if not_after.as_secs() > ca_not_after {
        return Err(CertError::BeyondCa {
            ca_not_after,
            left_s: ca_not_after.saturating_sub(now.as_secs()),
        });
    }
    let bad = |path: &Path, error: rcgen::Error| CertError::Ca {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let ca_key = KeyPair::from_pem(&ca_key).map_err(|error| bad(&key_file, error))?;
    let issuer =
        Issuer::from_ca_cert_pem(&ca_pem, ca_key).map_err(|error| bad(&cert_file, error))?;
    let name = Name::new(
        who.cluster,
        &who.role.to_string(),
        NodeId(u64::from(who.rank)),
    )
    .to_string();
    let mut params = params(&format!("{} {}", who.role, who.rank), now, valid);
    params.subject_alt_names = vec![SanType::URI(name.as_str().try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // A node listens and dials.
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let cert = params.signed_by(&key, &issuer)?;
    let made = Made {
        cert: out.join(format!("{}.pem", who.rank)),
        key: out.join(format!("{}.key", who.rank)),
        name,
        not_after: not_after.as_secs(),
    };
    write(&made, &cert.pem(), &key.serialize_pem())?;
    Ok(made)
}

fn check_cluster(cluster: &str) -> Result<(), CertError> {
    let chars = cluster.chars().count();
    if (1..=64).contains(&chars) {
        Ok(())
    } else {
        Err(CertError::Cluster { chars })
    }
}

fn params(common_name: &str, now: Duration, valid: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let at = |time: Duration| OffsetDateTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
    params.not_before = at(now.saturating_sub(BACKDATE));
    params.not_after = at(now + valid);
    params
}

/// Returns when a CA ends. Unit: seconds since 1970.
fn end_of_ca(path: &Path, pem: &str) -> Result<u64, CertError> {
    let bad = |why: String| CertError::Ca {
        path: path.to_owned(),
        why,
    };
    let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|error| bad(error.to_string()))?;
    let cert = pem.parse_x509().map_err(|error| bad(error.to_string()))?;
    if !cert.is_ca() {
        return Err(bad("it is a certificate that may not sign".to_owned()));
    }
    let end = cert.validity().not_after.timestamp();
    Ok(u64::try_from(end).unwrap_or(0))
}

fn read(path: &Path) -> Result<String, CertError> {
    fs::read_to_string(path).map_err(|source| CertError::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes both files or none.
fn write(made: &Made, cert: &str, key: &str) -> Result<(), CertError> {
    for path in [&made.cert, &made.key] {
        if path.exists() {
            return Err(CertError::Exists { path: path.clone() });
        }
    }
    if let Some(dir) = made.cert.parent() {
        fs::create_dir_all(dir).map_err(|source| CertError::File {
            path: dir.to_owned(),
            source,
        })?;
    }
    create(&made.key, KEY_MODE, key)?;
    create(&made.cert, CERT_MODE, cert).inspect_err(|_| {
        // A key without its certificate is of no use; if it cannot be removed it still harms nobody.
        let _ = fs::remove_file(&made.key);
    })
}

fn create(path: &Path, mode: u32, text: &str) -> Result<(), CertError> {
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CertError::Exists {
            path: path.to_owned(),
        },
        _ => CertError::File {
            path: path.to_owned(),
            source,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{SystemTime, UNIX_EPOCH};

    use radixmesh::transport::tls::{Credentials, Files};

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
    }

    fn who(rank: u16) -> Node<'static> {
        Node {
            cluster: "prod",
            role: Role::Decode,
            rank,
        }
    }

    #[test]
    fn what_is_made_is_what_a_node_takes_and_the_keys_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let ca = ca("prod", now(), DAY * 10, dir.path()).unwrap();
        let made = node(&who(3), dir.path(), now(), DAY, dir.path()).unwrap();
        assert_eq!(made.name, "radixmesh://prod/decode/3");
        for key in [&ca.key, &made.key] {
            let mode = fs::metadata(key).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", key.display());
        }
        let files = Files {
            ca: ca.cert,
            cert: made.cert,
            key: made.key,
        };
        let name = Name::new("prod", "decode", NodeId(3));
        let credentials = Credentials::open(files, name, Box::new(|_| None)).unwrap();
        let status = credentials.status();
        assert_eq!(status.not_after_s, made.not_after.cast_signed());
        assert_eq!(status.not_after_s - status.not_before_s, 86_700);
    }

    #[test]
    fn nothing_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let made = ca("prod", now(), DAY, dir.path()).unwrap();
        let before = fs::read(&made.key).unwrap();
        assert!(matches!(
            ca("prod", now(), DAY, dir.path()),
            Err(CertError::Exists { .. })
        ));
        fs::remove_file(&made.cert).unwrap();
        assert!(matches!(
            ca("prod", now(), DAY, dir.path()),
            Err(CertError::Exists { path }) if path == made.key
        ));
        assert_eq!(fs::read(&made.key).unwrap(), before);
        assert!(!made.cert.exists());
    }

    #[test]
    fn a_certificate_ends_with_its_ca_and_needs_a_real_one() {
        let dir = tempfile::tempdir().unwrap();
        ca("prod", now(), DAY, dir.path()).unwrap();
        let longer = node(&who(0), dir.path(), now(), DAY * 2, dir.path());
        assert!(matches!(longer, Err(CertError::BeyondCa { .. })));
        let made = node(&who(0), dir.path(), now(), DAY / 2, dir.path()).unwrap();
        let fake = dir.path().join("fake");
        fs::create_dir(&fake).unwrap();
        fs::copy(made.cert, fake.join("ca.pem")).unwrap();
        fs::copy(made.key, fake.join("ca.key")).unwrap();
        let signed = node(&who(1), &fake, now(), DAY / 4, dir.path());
        assert!(matches!(signed, Err(CertError::Ca { .. })), "{signed:?}");
    }
}
