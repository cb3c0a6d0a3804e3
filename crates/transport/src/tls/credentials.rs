//! What this node proves itself with and whom it believes, exchanged while it runs.

use std::fmt;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use super::files::{Contents, Files, FilesError, Material};
use super::name::Name;
use crate::identity::NodeId;
use crate::lane_queue::lock;

/// Says which role a node has here; `None` where it is not known, then any role will do.
pub type Roles = Box<dyn Fn(NodeId) -> Option<String> + Send + Sync>;

/// A node's certificate, its key, and the CA of its cluster.
pub struct Credentials {
    files: Files,
    me: Name,
    roles: Roles,
    current: ArcSwap<Material>,
    last: Mutex<LastRead>,
}

/// What was read last, good or bad, and what was counted until then: one lock, so that a status never mixes two reads.
struct LastRead {
    contents: Contents,
    /// Kept so that a broken file is told of once.
    error: Option<FilesError>,
    reloads: u64,
    reload_errors: u64,
}

impl LastRead {
    fn refuse(&mut self, error: FilesError) -> FilesError {
        self.reload_errors += 1;
        self.error = Some(error.clone());
        error
    }
}

/// The state of a node's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The name in it.
    pub name: String,
    /// When it began. Unit: seconds since 1970.
    pub not_before_s: i64,
    /// When it ends. Unit: seconds since 1970.
    pub not_after_s: i64,
    /// How often changed files were taken over.
    pub reloads: u64,
    /// How often changed files were refused.
    pub reload_errors: u64,
    /// Why the files as they are now were refused; `None` when they are in use.
    pub last_error: Option<String>,
}

impl Credentials {
    /// Reads the files of the node named `me`, and judges them as a peer would.
    ///
    /// Errors: [`FilesError`]; nothing is kept.
    pub fn open(files: Files, me: Name, roles: Roles) -> Result<Credentials, FilesError> {
        let contents = files.read()?;
        let material = files.build(&contents, &me)?;
        Ok(Credentials {
            files,
            me,
            roles,
            current: ArcSwap::from_pointee(material),
            last: Mutex::new(LastRead {
                contents,
                error: None,
                reloads: 0,
                reload_errors: 0,
            }),
        })
    }

    /// Reads the files again and returns whether others are in use now. Connections that stand are left alone.
    ///
    /// Call it now and then: files that are as they were cost three reads. It blocks for those.
    /// Errors: [`FilesError`], once for each new content; the old credentials stay in use.
    pub fn reload(&self) -> Result<bool, FilesError> {
        let mut last = lock(&self.last);
        let contents = match self.files.read() {
            Ok(contents) => contents,
            Err(error) if last.error.as_ref() == Some(&error) => return Ok(false),
            Err(error) => return Err(last.refuse(error)),
        };
        let same = contents == last.contents;
        let unread = matches!(last.error, Some(FilesError::Unreadable { .. }));
        if same && !unread {
            return Ok(false);
        }
        let built = self.files.build(&contents, &self.me);
        last.contents = contents;
        match built {
            Ok(material) => {
                last.error = None;
                if same {
                    return Ok(false);
                }
                self.current.store(Arc::new(material));
                last.reloads += 1;
                Ok(true)
            }
            Err(error) => Err(last.refuse(error)),
        }
    }

    /// Returns the state of the certificate in use.
    #[must_use]
    pub fn status(&self) -> CertificateStatus {
        let last = lock(&self.last);
        let material = self.current.load();
        CertificateStatus {
            name: self.me.to_string(),
            not_before_s: material.not_before_s,
            not_after_s: material.not_after_s,
            reloads: last.reloads,
            reload_errors: last.reload_errors,
            last_error: last.error.as_ref().map(ToString::to_string),
        }
    }

    pub(super) fn name(&self) -> &Name {
        &self.me
    }

    pub(super) fn role_of(&self, node: NodeId) -> Option<String> {
        (self.roles)(node)
    }

    pub(super) fn material(&self) -> Arc<Material> {
        self.current.load_full()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("me", &self.me)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
