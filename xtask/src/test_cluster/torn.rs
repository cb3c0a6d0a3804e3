//! Records whose writer was killed in the middle of a write.

use std::path::Path;

/// Cuts a record behind its last whole batch, because the next life appends. Returns whether there was a torn one.
///
/// A kill can interrupt a long write. Errors: the file cannot be read or cut.
pub(crate) fn trim(path: &Path) -> std::io::Result<bool> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let whole = whole_bytes(&bytes);
    if whole < bytes.len() {
        std::fs::OpenOptions::new()
            .write(true)
            .open(path)?
            .set_len(whole as u64)?;
    }
    Ok(whole < bytes.len())
}

/// Returns how many leading bytes are whole records: each is a length (u32 LE) and as many bytes.
fn whole_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = bytes[at..].first_chunk::<4>() {
        let end = at + 4 + u32::from_le_bytes(*length) as usize;
        if end > bytes.len() {
            break;
        }
        at = end;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_record_is_cut_off_and_whole_ones_stay() {
        let record = [2, 0, 0, 0, 7, 7];
        let two = [record, record].concat();
        assert_eq!(whole_bytes(&two), 12);
        assert_eq!(whole_bytes(&two[..11]), 6);
        assert_eq!(whole_bytes(&two[..8]), 6);
        assert_eq!(whole_bytes(&[]), 0);
    }
}
