//! The table of keys for people: a commented TOML file, and the story of one key.

use std::fmt::Write;

use super::keys::{Default, KEYS, Key};
use super::load::Loaded;

/// Returns a TOML file that sets every key to its default, each with its meaning, range and variable.
///
/// Keys without a default are there as comments.
#[must_use]
pub fn default_toml() -> String {
    let mut out = String::from(
        "# RadixMesh node configuration. Every key is optional unless it says \"required\".\n\
         # Order of precedence: this file < RADIXMESH_* variables < flags. One file serves all nodes.\n",
    );
    let mut table = "";
    for key in KEYS {
        let (group, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if group != table {
            let _ = write!(out, "\n[{group}]\n");
            table = group;
        }
        out.push('\n');
        for line in key.doc.lines() {
            let _ = writeln!(out, "# {line}");
        }
        let _ = writeln!(
            out,
            "# Range: {}. Variable: {}.",
            key.kind.range(),
            key.env()
        );
        let _ = match key.default {
            Default::Toml(value) => writeln!(out, "{name} = {value}"),
            Default::Unset(example) => {
                writeln!(out, "# Unset by default.\n# {name} = \"{example}\"")
            }
            Default::Required(example) => writeln!(out, "# Required.\n# {name} = \"{example}\""),
        };
    }
    out
}

/// Returns what one key means and, where `loaded` is given, what it is now and who set it.
#[must_use]
pub fn explain(key: &Key, loaded: Option<&Loaded>) -> String {
    let default = match key.default {
        Default::Toml(value) => value.to_owned(),
        Default::Unset(example) => format!("unset; for example \"{example}\""),
        Default::Required(example) => format!("none, it is required; for example \"{example}\""),
    };
    let mut out = format!("{}\n", key.name);
    for line in key.doc.lines() {
        let _ = writeln!(out, "  {line}");
    }
    let _ = writeln!(
        out,
        "  default:  {default}\n  range:    {}",
        key.kind.range()
    );
    let _ = writeln!(
        out,
        "  variable: {}\n  flag:     --set {}=VALUE",
        key.env(),
        key.name
    );
    if let Some(now) = loaded.and_then(|loaded| loaded.get(key.name)) {
        let _ = writeln!(out, "  now:      {} (from {})", now.value, now.origin);
    }
    out
}

/// Returns one line for each key: its name and the first sentence of its meaning.
#[must_use]
pub fn list() -> String {
    let mut out = String::new();
    for key in KEYS {
        let doc = key.doc.replace('\n', " ");
        let sentence = doc
            .split_once(". ")
            .map_or(doc.trim_end_matches('.'), |(first, _)| first);
        let _ = writeln!(out, "{:<38} {sentence}", key.name);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::load::Sources;
    use super::*;

    #[test]
    fn the_printed_default_file_loads_and_changes_nothing() {
        let file =
            std::env::temp_dir().join(format!("radixmesh-default-{}.toml", std::process::id()));
        std::fs::write(&file, default_toml()).unwrap();
        let printed = Loaded::load(&Sources {
            file: Some(file.clone()),
            ..Sources::default()
        })
        .unwrap();
        let none = Loaded::load(&Sources::default()).unwrap();
        for key in KEYS {
            let value = |loaded: &Loaded| loaded.get(key.name).map(|now| now.value.clone());
            assert_eq!(value(&printed), value(&none), "{}", key.name);
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn every_key_is_in_the_file_the_list_and_its_own_story() {
        let (file, list) = (default_toml(), list());
        for key in KEYS {
            assert!(
                file.contains(&key.env()) && list.contains(key.name),
                "{}",
                key.name
            );
            assert!(explain(key, None).contains(&key.kind.range()));
        }
    }
}
