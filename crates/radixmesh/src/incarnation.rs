//! Keeps the incarnation of a node over its restarts. It must grow with each of them: the file is
//! synced before the number is used.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use radix_core::id::Incarnation;

const FILE: &str = "incarnation";

/// Returns a number above the one of the last start and not below the wall clock in milliseconds.
///
/// Without a directory only the clock speaks; peers that know a higher one correct it.
///
/// Errors: those of the file system, and `InvalidData` when the file holds no number.
pub(crate) fn next(state_dir: Option<&Path>, unix_millis: u64) -> io::Result<Incarnation> {
    let Some(dir) = state_dir else {
        return Ok(Incarnation(unix_millis));
    };
    fs::create_dir_all(dir)?;
    let path = dir.join(FILE);
    let last = match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u64>().map_err(|error| {
            let text = format!("{} holds {text:?}, not a number: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let inc = Incarnation(unix_millis.max(last.saturating_add(1)));
    keep(dir, inc)?;
    Ok(inc)
}

/// Keeps a number that this life took, so that the next one is above it.
///
/// Errors: those of the file system.
pub(crate) fn keep(dir: &Path, inc: Incarnation) -> io::Result<()> {
    let new = dir.join("incarnation.new");
    let mut file = File::create(&new)?;
    file.write_all(inc.to_string().as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_every_start_even_when_the_clock_goes_back() {
        let dir =
            std::env::temp_dir().join(format!("radixmesh-incarnation-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        assert_eq!(next(Some(&dir), 100).unwrap(), Incarnation(100));
        assert_eq!(next(Some(&dir), 50).unwrap(), Incarnation(101));
        assert_eq!(next(Some(&dir), 500).unwrap(), Incarnation(500));
        keep(&dir, Incarnation(900)).unwrap();
        assert_eq!(next(Some(&dir), 600).unwrap(), Incarnation(901));
        fs::write(dir.join(FILE), "rubbish").unwrap();
        assert_eq!(
            next(Some(&dir), 600).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        fs::remove_dir_all(&dir).unwrap();
    }
}
