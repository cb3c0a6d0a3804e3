//! `cargo xtask layers`: the crates depend on each other as `layers.toml` says, and on nothing that it forbids.
//!
//! Reads what `cargo metadata` reports. Direct edges are checked as declared, optional ones included; what a crate
//! reaches further down is checked as resolved for the workspace's default features, on every target.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

/// Checks the workspace that this task was built from. Errors: one line for each thing that is wrong.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in a workspace")?;
    let table: Table = toml::from_str(&read(&root.join("layers.toml"))?).context("layers.toml")?;
    let metadata = metadata(root)?;
    let mut wrong = check(&table, &metadata);
    for package in metadata.members() {
        if !inherits_lints(&read(&package.manifest_path)?)
            .with_context(|| format!("{} Cargo.toml", package.name))?
        {
            wrong.push(format!(
                "crate `{}` has no `[lints] workspace = true`",
                package.name
            ));
        }
    }
    if !wrong.is_empty() {
        bail!("the layers are broken:\n  {}", wrong.join("\n  "));
    }
    println!(
        "layers: {} crates as layers.toml says",
        metadata.workspace_members.len()
    );
    Ok(())
}

/// `layers.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    pure: Pure,
    crates: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pure {
    never: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    may_use: BTreeSet<String>,
    #[serde(default)]
    pure: bool,
    #[serde(default)]
    never: BTreeSet<String>,
}

/// The part of `cargo metadata --format-version 1` that is looked at.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: std::path::PathBuf,
    dependencies: Vec<Dependency>,
}

/// A dependency as a manifest declares it. `kind` is `None`, `"build"` or `"dev"`.
#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

impl Metadata {
    fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }
}

fn metadata(root: &Path) -> anyhow::Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cargo metadata does not start")?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata says what is not understood")
}

/// Returns a line for each rule that the workspace breaks.
fn check(table: &Table, metadata: &Metadata) -> Vec<String> {
    let mut wrong = Vec::new();
    let members: BTreeSet<&str> = metadata
        .members()
        .map(|package| package.name.as_str())
        .collect();
    for name in table
        .crates
        .keys()
        .filter(|name| !members.contains(name.as_str()))
    {
        wrong.push(format!("row `{name}` names no crate of the workspace"));
    }
    for package in metadata.members() {
        let name = &package.name;
        let Some(row) = table.crates.get(name) else {
            wrong.push(format!("crate `{name}` has no row in layers.toml"));
            continue;
        };
        let used: BTreeSet<&str> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
            .map(|dependency| dependency.name.as_str())
            .collect();
        for bad in used
            .iter()
            .filter(|used| members.contains(**used) && !row.may_use.contains(**used))
        {
            wrong.push(format!("`{name}` -> `{bad}` is not in the row of `{name}`"));
        }
        let none = BTreeSet::new();
        let pure = if row.pure { &table.pure.never } else { &none };
        let never: BTreeSet<&str> = pure.union(&row.never).map(String::as_str).collect();
        let paths = forbidden_paths(metadata, package, &never);
        for (bad, path) in &paths {
            wrong.push(format!(
                "`{name}` must not reach `{bad}`: {}",
                path.join(" -> ")
            ));
        }
        // An optional dependency that is off is in no resolved path.
        for bad in used
            .iter()
            .filter(|used| never.contains(**used) && !paths.contains_key(**used))
        {
            wrong.push(format!("`{name}` must not declare `{bad}`"));
        }
    }
    wrong
}

/// For each crate in `never` that `from` reaches by normal dependencies, the shortest way there.
fn forbidden_paths<'a>(
    metadata: &'a Metadata,
    from: &'a Package,
    never: &BTreeSet<&str>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let names: BTreeMap<&str, &str> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package.name.as_str()))
        .collect();
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let mut seen = BTreeSet::from([from.id.as_str()]);
    let mut queue = VecDeque::from([(from.id.as_str(), vec![from.name.as_str()])]);
    let mut found = BTreeMap::new();
    while let Some((id, path)) = queue.pop_front() {
        for edge in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
            let is_normal = edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
            if !is_normal || !seen.insert(&edge.pkg) {
                continue;
            }
            let Some(&name) = names.get(edge.pkg.as_str()) else {
                continue;
            };
            let path = [path.as_slice(), &[name]].concat();
            if never.contains(name) {
                found.entry(name).or_insert(path);
            } else {
                queue.push_back((&edge.pkg, path));
            }
        }
    }
    found
}

fn inherits_lints(manifest: &str) -> anyhow::Result<bool> {
    let manifest: toml::Table = toml::from_str(manifest)?;
    let inherits = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool);
    Ok(inherits == Some(true))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &str = r#"
        [pure]
        never = ["tokio"]
        [crates.core]
        pure = true
        may_use = []
        [crates.driver]
        may_use = ["core"]
        never = ["axum"]
    "#;

    /// A crate and its dependencies with their kinds.
    type Crate<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

    /// Builds metadata. Of the crates, `core`, `driver` and `stray` are members of the workspace.
    fn workspace(crates: &[Crate<'_>]) -> Metadata {
        let packages: Vec<_> = crates
            .iter()
            .map(|(name, deps)| {
                let deps: Vec<_> = deps.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
                json!({"id": format!("id {name}"), "name": name, "manifest_path": "x", "dependencies": deps})
            })
            .collect();
        let nodes: Vec<_> = crates
            .iter()
            .map(|(name, deps)| {
                let edge = |(name, kind): &(&str, Option<&str>)| {
                    json!({"pkg": format!("id {name}"), "dep_kinds": [{"kind": kind, "target": null}]})
                };
                json!({"id": format!("id {name}"), "deps": deps.iter().map(edge).collect::<Vec<_>>()})
            })
            .collect();
        let members: Vec<_> = ["core", "driver", "stray"]
            .iter()
            .filter(|member| crates.iter().any(|(name, _)| name == *member))
            .map(|name| format!("id {name}"))
            .collect();
        let metadata = json!({"packages": packages, "workspace_members": members, "resolve": {"nodes": nodes}});
        serde_json::from_value(metadata).unwrap()
    }

    fn wrong(crates: &[Crate<'_>]) -> Vec<String> {
        check(&toml::from_str(TABLE).unwrap(), &workspace(crates))
    }

    #[test]
    fn a_workspace_as_the_table_says_is_right() {
        let crates: &[Crate<'_>] = &[
            ("core", &[("serde", None)]),
            ("driver", &[("core", None), ("tokio", None)]),
            ("serde", &[]),
            ("tokio", &[]),
        ];
        assert_eq!(wrong(crates), [""; 0]);
    }

    #[test]
    fn an_edge_outside_the_table_is_named_normal_or_build_but_not_dev() {
        let with = |kind| wrong(&[("core", &[("driver", kind)]), ("driver", &[])]);
        let expect = ["`core` -> `driver` is not in the row of `core`"];
        assert_eq!(with(None), expect);
        assert_eq!(with(Some("build")), expect);
        assert_eq!(with(Some("dev")), [""; 0]);
    }

    #[test]
    fn a_pure_crate_that_reaches_a_forbidden_one_is_named_with_the_way() {
        let crates: &[Crate<'_>] = &[
            ("core", &[("helper", None)]),
            ("driver", &[]),
            ("helper", &[("tokio", None)]),
            ("tokio", &[]),
        ];
        assert_eq!(
            wrong(crates),
            ["`core` must not reach `tokio`: core -> helper -> tokio"]
        );
        let crates: &[Crate<'_>] = &[
            ("core", &[("tokio", None)]),
            ("driver", &[]),
            ("tokio", &[]),
        ];
        assert_eq!(
            wrong(crates),
            ["`core` must not reach `tokio`: core -> tokio"]
        );
        let crates: &[Crate<'_>] = &[
            ("core", &[("helper", Some("dev"))]),
            ("driver", &[]),
            ("helper", &[("tokio", None)]),
            ("tokio", &[]),
        ];
        assert_eq!(wrong(crates), [""; 0]);
    }

    #[test]
    fn a_crate_that_is_not_pure_has_its_own_forbidden_ones() {
        let crates: &[Crate<'_>] = &[("core", &[]), ("driver", &[("axum", None)]), ("axum", &[])];
        assert_eq!(
            wrong(crates),
            ["`driver` must not reach `axum`: driver -> axum"]
        );
    }

    #[test]
    fn a_forbidden_dependency_that_is_switched_off_is_found_as_declared() {
        let mut metadata = workspace(&[
            ("core", &[("tokio", None)]),
            ("driver", &[]),
            ("tokio", &[]),
        ]);
        metadata.resolve.nodes.retain(|node| node.id != "id core");
        let wrong = check(&toml::from_str(TABLE).unwrap(), &metadata);
        assert_eq!(wrong, ["`core` must not declare `tokio`"]);
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_wrong() {
        assert_eq!(
            wrong(&[("core", &[]), ("driver", &[]), ("stray", &[])]),
            ["crate `stray` has no row in layers.toml"]
        );
        assert_eq!(
            wrong(&[("core", &[])]),
            ["row `driver` names no crate of the workspace"]
        );
    }

    #[test]
    fn a_manifest_inherits_the_lints_only_when_it_says_so() {
        let check = |manifest: &str, expect| {
            assert_eq!(inherits_lints(manifest).unwrap(), expect, "{manifest}")
        };
        check("[lints]\nworkspace = true", true);
        check("[lints]\nworkspace = false", false);
        check("[lints.rust]\nmissing_docs = \"warn\"", false);
        check("[package]\nname = \"x\"", false);
    }
}
