//! The secret that clients of the admin port show.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use subtle::ConstantTimeEq;

/// Shorter ones can be guessed. Unit: characters.
const CHARS_MIN: usize = 16;
/// Longest accepted. Unit: characters.
const CHARS_MAX: usize = 1_024;

/// A bearer token. It is never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes a token of 16 to 1,024 visible ASCII characters.
    ///
    /// Errors: what is wrong with it, without it.
    pub fn new(text: &str) -> Result<Token, String> {
        let chars = text.chars().count();
        if !(CHARS_MIN..=CHARS_MAX).contains(&chars) {
            return Err(format!(
                "a token has {CHARS_MIN} to {CHARS_MAX} characters, not {chars}"
            ));
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err("a token consists of visible ASCII characters".to_owned());
        }
        Ok(Token(text.to_owned()))
    }

    /// Reads a file that holds a token; white space around it is not part of it.
    ///
    /// Errors: those of the file system, and `InvalidData` when it holds none.
    pub fn read(path: &Path) -> io::Result<Token> {
        let mut text = String::new();
        let most = 2 * CHARS_MAX as u64;
        File::open(path)?.take(most).read_to_string(&mut text)?;
        Token::new(text.trim()).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
    }

    /// Returns the token itself, to be shown to an admin port.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Returns whether `shown` is this token. How long that takes tells nothing about it but its length.
    #[must_use]
    pub fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0123456789abcdef";

    #[test]
    fn only_the_token_itself_is_the_token() {
        let token = Token::new(GOOD).unwrap();
        assert!(token.is(GOOD.as_bytes()));
        for other in [
            "",
            "0123456789abcdeF",
            "0123456789abcde",
            "0123456789abcdef0",
        ] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert!(!format!("{token:?}").contains(GOOD));
    }

    #[test]
    fn short_and_unprintable_tokens_are_refused() {
        let long = "x".repeat(CHARS_MAX + 1);
        for bad in [
            "",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789abcde\u{e9}",
            &long,
        ] {
            assert!(Token::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_may_end_with_a_newline() {
        let path = std::env::temp_dir().join(format!("radixmesh-token-{}", std::process::id()));
        std::fs::write(&path, format!("{GOOD}\n")).unwrap();
        assert_eq!(Token::read(&path).unwrap(), Token::new(GOOD).unwrap());
        std::fs::write(&path, "short").unwrap();
        let error = Token::read(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        std::fs::remove_file(path).unwrap();
    }
}
