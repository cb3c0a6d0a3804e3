//! The table of keys for people: a commented TOML file, and the story of one key.

use std::fmt::Write;

use super::engine_keys::{SOURCE_KEYS, SOURCE_PREFIX};
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
    out + &source_toml()
}

/// The keys of an engine, all of them comments: a file without engines is the default.
fn source_toml() -> String {
    let mut out = String::from(
        "\n# Engines behind this node, one [[source]] table for each (docs/operate/engines.md). Only this file sets them, no\n\
         # variable and no flag. Routers follow none.\n# [[source]]\n",
    );
    for key in SOURCE_KEYS {
        let name = key.name.trim_start_matches(SOURCE_PREFIX);
        out.push('\n');
        for line in key.doc.lines() {
            let _ = writeln!(out, "# {line}");
        }
        let _ = match key.default {
            Default::Toml(value) => writeln!(
                out,
                "# Range: {}. Default: {value}.\n# {name} = {value}",
                key.kind.range()
            ),
            Default::Unset(example) => writeln!(
                out,
                "# Range: {}. Unset by default.\n# {name} = {}",
                key.kind.range(),
                example_toml(key, example)
            ),
            Default::Required(example) => writeln!(
                out,
                "# Range: {}. Required.\n# {name} = {}",
                key.kind.range(),
                example_toml(key, example)
            ),
        };
    }
    out
}

/// An example as TOML: numbers stand bare.
fn example_toml(key: &Key, example: &str) -> String {
    match key.kind {
        super::kind::Kind::Count { .. } => example.to_owned(),
        _ => format!("\"{example}\""),
    }
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
    if key.is_of_source() {
        out +=
            "  set by:   a [[source]] table of the configuration file; no variable and no flag\n";
        for table in loaded.map_or(&[][..], Loaded::engines) {
            if let Some(now) = table.get(key.name) {
                let which = table.which();
                let _ = writeln!(
                    out,
                    "  now:      {} in {which} (from {})",
                    now.value, now.origin
                );
            }
        }
        return out;
    }
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
    for key in Key::all() {
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
        for key in SOURCE_KEYS {
            let line = format!("\n# {} = ", key.name.trim_start_matches(SOURCE_PREFIX));
            assert!(
                file.contains(&line) && list.contains(key.name),
                "{}",
                key.name
            );
            assert!(explain(key, None).contains("no variable and no flag"));
        }
    }

    #[test]
    fn the_engine_in_the_printed_default_file_loads_without_its_comments() {
        let (_, engine) = default_toml()
            .split_once("# [[source]]\n")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        // What the example of one kind of engine needs.
        let wanted = [
            "name",
            "kind",
            "endpoint",
            "bind",
            "replay",
            "topic",
            "id",
            "ranks",
            "model",
            "down_after",
            "blocks_max",
        ];
        let lines = engine.lines().filter_map(|line| line.strip_prefix("# "));
        let lines = lines.filter(|line| {
            line.split_once(" = ")
                .is_some_and(|(name, _)| wanted.contains(&name))
        });
        let text = format!("[[source]]\n{}", lines.collect::<Vec<_>>().join("\n"));
        let file =
            std::env::temp_dir().join(format!("radixmesh-engine-{}.toml", std::process::id()));
        std::fs::write(&file, &text).unwrap();
        let sources = Sources {
            file: Some(file.clone()),
            ..Sources::default()
        };
        let engines = Loaded::load(&sources).unwrap().sources().unwrap();
        assert_eq!(engines.len(), 1, "{text}");
        std::fs::remove_file(file).unwrap();
    }
}
