//! Certificates of a cluster that lives as long as a run, made by the daemon's own command.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use radixmesh::topology::Role;
use radixmesh::transport::tls::{Credentials, Files, Name};
use radixmesh::transport::{NodeId, Tcp};
use radixmeshd::cert;
use tokio::process::Command;

/// A CA and the certificates of nodes, in a directory that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Pki {
    dir: PathBuf,
    cluster: String,
}

impl Pki {
    /// Makes a CA for a cluster with a fresh name.
    ///
    /// Errors: the directory cannot be made, or the daemon makes none.
    async fn make(binary: &Path) -> anyhow::Result<Pki> {
        let number = fastrand::u64(..);
        let dir = std::env::temp_dir().join(format!("radixmesh-pki-{number:016x}"));
        std::fs::create_dir(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        let pki = Pki {
            dir,
            cluster: format!("sealed-{number:08x}"),
        };
        run(binary, &["cert", "ca", "--cluster", &pki.cluster], &pki.dir).await?;
        Ok(pki)
    }

    /// Makes a CA and the certificates of the nodes of each role, in rank order.
    ///
    /// Errors: the directory cannot be made, or the daemon makes none.
    pub(crate) async fn for_roles(binary: &Path, roles: [u16; 3]) -> anyhow::Result<Pki> {
        let pki = Pki::make(binary).await.context("no certificates")?;
        let kinds = [Role::Prefill, Role::Decode, Role::Router];
        let all = kinds.into_iter().zip(roles);
        let all = all.flat_map(|(role, count)| std::iter::repeat_n(role, usize::from(count)));
        for (rank, role) in (0..).zip(all) {
            pki.node(binary, role, rank).await?;
        }
        Ok(pki)
    }

    /// Makes the certificate of a node.
    ///
    /// Errors: the daemon makes none.
    pub(crate) async fn node(&self, binary: &Path, role: Role, rank: u16) -> anyhow::Result<()> {
        let (role, rank, ca) = (
            role.to_string(),
            rank.to_string(),
            self.dir.to_string_lossy(),
        );
        let words = ["cert", "node", "--cluster", &self.cluster, "--ca", &ca];
        let who = ["--role", &role, "--rank", &rank];
        run(binary, &[&words[..], &who].concat(), &self.dir).await
    }

    /// Returns the keys that make nodes use the certificates, as `ClusterSpec::set` takes them.
    pub(crate) fn keys(&self) -> Vec<(String, String)> {
        let text = |text: &str| toml::Value::from(text).to_string();
        let file = |name: &str| text(&self.dir.join(name).to_string_lossy());
        [
            ("cluster", text(&self.cluster)),
            ("security.ca_file", file("ca.pem")),
            ("security.cert_file", file("{rank}.pem")),
            ("security.key_file", file("{rank}.key")),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    }

    /// Returns the name of the cluster.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Returns a transport of a node whose certificate is in `dir`, who believes the CAs of this cluster and of that
    /// directory.
    ///
    /// Errors: the files cannot be read, or peers of that CA would not believe them.
    pub(crate) fn transport(&self, dir: &Path, who: &cert::Node<'_>) -> anyhow::Result<Tcp> {
        let bundle = dir.join(format!("bundle-{}.pem", who.rank));
        let mut cas = std::fs::read_to_string(self.dir.join("ca.pem"))?;
        if dir != self.dir {
            cas.push_str(&std::fs::read_to_string(dir.join("ca.pem")).unwrap_or_default());
        }
        std::fs::write(&bundle, cas)?;
        let files = Files {
            ca: bundle,
            cert: dir.join(format!("{}.pem", who.rank)),
            key: dir.join(format!("{}.key", who.rank)),
        };
        let role = who.role.to_string();
        let name = Name::new(who.cluster, &role, NodeId(u64::from(who.rank)));
        let credentials = Credentials::open(files, name, Box::new(|_| None))?;
        Ok(Tcp::with_tls(Arc::new(credentials)))
    }

    /// Returns the transport of a node that has its place by right.
    ///
    /// Errors: its certificate was not made.
    pub(crate) fn rightful(&self, role: Role, rank: u16) -> anyhow::Result<Tcp> {
        let who = cert::Node {
            cluster: &self.cluster,
            role,
            rank,
        };
        self.transport(&self.dir, &who)
    }

    /// Returns the transport of a node whose certificate this CA signed, whatever it says, for so long.
    ///
    /// Errors: it cannot be made.
    pub(crate) fn signed(
        &self,
        name: &str,
        who: &cert::Node<'_>,
        valid: Duration,
    ) -> anyhow::Result<Tcp> {
        let out = self.sub(name)?;
        cert::node(who, &self.dir, now(), valid, &out)?;
        self.transport(&out, who)
    }

    /// Returns the transport of a node whose certificate another CA signed.
    ///
    /// Errors: it cannot be made.
    pub(crate) fn foreign(&self, who: &cert::Node<'_>) -> anyhow::Result<Tcp> {
        const DAY: Duration = Duration::from_secs(86_400);
        let out = self.sub("foreign")?;
        cert::ca(who.cluster, now(), DAY * 2, &out)?;
        cert::node(who, &out, now(), DAY, &out)?;
        self.transport(&out, who)
    }

    fn sub(&self, name: &str) -> anyhow::Result<PathBuf> {
        let out = self.dir.join(name);
        std::fs::create_dir(&out).with_context(|| format!("{} cannot be made", out.display()))?;
        Ok(out)
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        // Left over files are a nuisance, no error.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

async fn run(binary: &Path, words: &[&str], out: &Path) -> anyhow::Result<()> {
    let output = Command::new(binary)
        .args(words)
        .arg("--out")
        .arg(out)
        .output()
        .await
        .with_context(|| format!("{} cannot be run", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`{}` failed: {said}",
        words.join(" ")
    );
    Ok(())
}

fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}
