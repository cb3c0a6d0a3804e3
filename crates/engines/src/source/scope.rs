//! The names of namespaces: what an engine's path depends on as a whole, besides its tokens.

use std::fmt::Write;

use radix_core::id::Namespace;
use radix_core::page::FingerprintKey;

use crate::event::Lora;

/// Returns the namespace of a path: its base name, and the adapter and the salt that its KV was computed with.
///
/// Without either it is the namespace of `base` itself. Lengths are written, so that no name can stand for another:
/// `"base;lora=3:sql;salt=8:tenant-a"`, and `"base;lora#=3"` for an adapter that is only numbered. Whoever routes a request
/// with an adapter or a salt must ask in the same namespace.
#[must_use]
pub fn namespace(
    key: FingerprintKey,
    base: &str,
    lora: Option<&Lora>,
    salt: Option<&str>,
) -> Namespace {
    if lora.is_none() && salt.is_none() {
        return key.namespace(base);
    }
    key.namespace(&namespace_name(base, lora, salt))
}

/// Returns the name of that namespace.
#[must_use]
pub fn namespace_name(base: &str, lora: Option<&Lora>, salt: Option<&str>) -> String {
    let mut name = base.to_owned();
    let written = match lora {
        Some(Lora::Name(lora)) => write!(name, ";lora={}:{lora}", lora.len()),
        Some(Lora::Id(id)) => write!(name, ";lora#={id}"),
        None => Ok(()),
    };
    let written = written.and_then(|()| match salt {
        Some(salt) => write!(name, ";salt={}:{salt}", salt.len()),
        None => Ok(()),
    });
    written.expect("writing to a string cannot fail");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_and_a_salt_make_a_namespace_of_their_own() {
        let sql = Lora::Name("sql".to_owned());
        assert_eq!(namespace_name("m", None, None), "m");
        assert_eq!(
            namespace_name("m", Some(&sql), Some("tenant-a")),
            "m;lora=3:sql;salt=8:tenant-a"
        );
        assert_eq!(namespace_name("", Some(&Lora::Id(3)), None), ";lora#=3");
        let key = FingerprintKey::new(1);
        assert_eq!(namespace(key, "", None, None), Namespace::DEFAULT);
        assert_ne!(
            namespace(key, "", None, Some("a;lora=1:b")),
            namespace(key, "", Some(&Lora::Name("b".to_owned())), Some("a"))
        );
    }
}
