//! Which names and addresses belong to which run, and cleaning up: a lock is held as long as the process lives, so what
//! carries the number of a free lock is left over.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

/// Where the locks are.
const DIR: &str = "/run/radixmesh-netns";
/// Where `ip netns` keeps names.
const NAMESPACES: &str = "/run/netns";
/// What the names of all our links and namespaces begin with; the number follows.
const PREFIX: &str = "rmx";

/// A number that no other living run has. Dropping it removes everything that carries it.
#[derive(Debug)]
pub(super) struct Claim {
    id: u8,
    /// Held as long as this lives.
    _lock: File,
}

impl Claim {
    /// Takes a free number.
    ///
    /// Errors: the locks cannot be written, or all numbers are taken.
    pub(super) fn take() -> anyhow::Result<Claim> {
        fs::create_dir_all(DIR).with_context(|| format!("{DIR} cannot be made"))?;
        let mut ids: Vec<u8> = (0..=u8::MAX).collect();
        fastrand::shuffle(&mut ids);
        for id in ids {
            if let Some(lock) = try_lock(&lock_path(id))? {
                return Ok(Claim { id, _lock: lock });
            }
        }
        anyhow::bail!("256 runs are there already")
    }

    /// Returns what all names of this run begin with.
    pub(super) fn prefix(&self) -> String {
        prefix(self.id)
    }

    /// Returns the name of a node's namespace.
    pub(super) fn namespace(&self, rank: u16) -> String {
        format!("{}n{rank}", self.prefix())
    }

    /// Returns the name of a link; at most 15 bytes, as the kernel wants it.
    pub(super) fn link(&self, kind: &str, of: impl std::fmt::Display) -> String {
        format!("{}{kind}{of}", self.prefix())
    }

    /// Returns an address of the network between the nodes.
    pub(super) fn mesh(&self, host: u16) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.id, host.to_le_bytes()[0])
    }

    /// Returns an address of the network of the admin ports; that of host 0 is this process's.
    pub(super) fn control(&self, host: u16) -> Ipv4Addr {
        Ipv4Addr::new(198, 19, self.id, (host + 1).to_le_bytes()[0])
    }

    /// Returns where the token of the admin ports is.
    pub(super) fn token_path(&self) -> PathBuf {
        token_path(self.id)
    }

    /// Writes a fresh token for the admin ports and returns it.
    ///
    /// Errors: it cannot be written.
    pub(super) fn token(&self) -> anyhow::Result<String> {
        let token = format!("{:032x}", fastrand::u128(..));
        let path = self.token_path();
        // One of a dead run may be there.
        let _ = fs::remove_file(&path);
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&path);
        std::io::Write::write_all(&mut opened?, token.as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(token)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        clean(self.id);
    }
}

/// Removes what runs left that ended without doing so themselves.
///
/// Errors: the locks cannot be read.
pub(super) async fn sweep() -> anyhow::Result<()> {
    for id in 0..=u8::MAX {
        let path = lock_path(id);
        if !path.exists() {
            continue;
        }
        if let Some(_lock) = try_lock(&path)? {
            eprintln!("removing what an earlier run left of {}*", prefix(id));
            clean(id);
        }
    }
    Ok(())
}

fn prefix(id: u8) -> String {
    format!("{PREFIX}{id:02x}")
}

fn lock_path(id: u8) -> PathBuf {
    Path::new(DIR).join(format!("{id:02x}.lock"))
}

fn token_path(id: u8) -> PathBuf {
    Path::new(DIR).join(format!("{id:02x}.token"))
}

/// Takes a lock, unless a living process has it.
fn try_lock(path: &Path) -> anyhow::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // Its owner may have removed it between opening and locking.
    let is_there = fs::metadata(path)
        .is_ok_and(|there| file.metadata().is_ok_and(|mine| mine.ino() == there.ino()));
    Ok(is_there.then_some(file))
}

/// Removes all links, namespaces and files of a number whose lock is held here; kills what runs in the namespaces. What
/// cannot be removed is left: there is nobody to tell, and the next run tries again.
fn clean(id: u8) {
    let prefix = prefix(id);
    let names = |of: &str| -> Vec<String> {
        let entries = fs::read_dir(of).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(&prefix)).collect()
    };
    for namespace in names(NAMESPACES) {
        let listed = Command::new("ip")
            .args(["netns", "pids", &namespace])
            .stderr(Stdio::null())
            .output();
        let pids = listed.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned());
        for pid in pids.unwrap_or_default().split_whitespace() {
            let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        ip(&["netns", "del", &namespace]);
    }
    for link in names("/sys/class/net") {
        ip(&["link", "del", &link]);
    }
    let _ = fs::remove_file(token_path(id));
    let _ = fs::remove_file(lock_path(id));
}

fn ip(words: &[&str]) {
    let quiet = Command::new("ip")
        .args(words)
        .stderr(Stdio::null())
        .status();
    // The other end of a link goes with it, so some are gone already.
    let _ = quiet;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_addresses_stay_in_their_networks() {
        let lock = File::open("/proc/self/stat").unwrap();
        let claim = std::mem::ManuallyDrop::new(Claim {
            id: 0xab,
            _lock: lock,
        });
        for name in [
            claim.link("m", 249),
            claim.link("mb", ""),
            claim.namespace(249),
        ] {
            assert!(name.len() <= 15 && name.starts_with("rmxab"), "{name}");
        }
        assert_eq!(claim.mesh(251).octets(), [198, 18, 0xab, 251]);
        assert_eq!(claim.control(0).octets(), [198, 19, 0xab, 1]);
        assert_eq!(claim.control(250).octets(), [198, 19, 0xab, 251]);
    }
}
