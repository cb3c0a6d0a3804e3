//! `config default | check | explain`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::output::{Exit, Failure, Format, print};
use crate::config::{
    ConfigErrors, Key, Loaded, SOURCE_PREFIX, Sources, default_toml, explain, list,
};

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SourceArgs {
    /// Configuration file (TOML); `config default` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// This node's mesh address, exactly as it is written in the member lists (key `local`).
    #[arg(long, value_name = "HOST:PORT")]
    local: Option<String>,
    /// Address of the admin port, `auto` or `off` (key `admin`).
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// Let links go without TLS although an address is not on loopback (key `security.plaintext`).
    #[arg(long)]
    plaintext: bool,
    /// Set any key; may be repeated. Flags beat variables (RADIXMESH_*), variables beat the file.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SourceArgs {
    /// Reads everything there is.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        self.load_with(&[])
    }

    /// Reads everything there is, and flags of a command: how each is called, the key that it sets, the value.
    pub(super) fn load_with(&self, flags: &[(&str, &str, String)]) -> Result<Loaded, Failure> {
        let env = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let mut sources = Sources {
            file: self.config.clone(),
            env: env.collect(),
            flags: Vec::new(),
        };
        for pair in &self.set {
            sources.set(pair).map_err(ConfigErrors::from)?;
        }
        for (key, value) in [("local", &self.local), ("admin", &self.admin)] {
            if let Some(value) = value {
                sources
                    .flags
                    .push((format!("flag --{key}"), key.to_owned(), value.clone()));
            }
        }
        for (flag, key, value) in flags {
            sources
                .flags
                .push((format!("flag {flag}"), (*key).to_owned(), value.clone()));
        }
        if self.plaintext {
            let (key, value) = ("security.plaintext".to_owned(), "true".to_owned());
            sources
                .flags
                .push(("flag --plaintext".to_owned(), key, value));
        }
        Ok(Loaded::load(&sources)?)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a configuration file with every key, its meaning, range and default.
    Default,
    /// Check a configuration; exit code 2 names every key, value and source that is wrong, and why.
    Check(SourceArgs),
    /// Explain one key, or list all of them.
    Explain {
        /// Name with dots, as routing.match_pages_min.
        key: Option<String>,
        #[command(flatten)]
        sources: SourceArgs,
    },
}

pub(super) fn run(command: &ConfigCommand, format: Format) -> Result<(), Failure> {
    match command {
        ConfigCommand::Default => print(Format::Text, &(), default_toml),
        ConfigCommand::Check(sources) => check(sources, format),
        ConfigCommand::Explain { key: None, .. } => {
            let names: Vec<&str> = Key::all().map(|key| key.name).collect();
            print(format, &names, list)
        }
        ConfigCommand::Explain {
            key: Some(name),
            sources,
        } => {
            let key = Key::find(name).ok_or_else(|| {
                let message =
                    format!("unknown key `{name}`; `radixmeshd config explain` lists all keys");
                Failure::new(Exit::Usage, message)
            })?;
            let loaded = sources.load()?;
            print(format, &story(key, &loaded), || explain(key, Some(&loaded)))
        }
    }
}

fn check(sources: &SourceArgs, format: Format) -> Result<(), Failure> {
    let loaded = sources.load()?;
    // The shared file has no `local`: then all that all nodes share is checked, for each of them.
    let whose = if loaded.get("local").is_some() {
        let config = loaded.node()?;
        match &config.join {
            None => format!("rank {} of {} members", config.me, config.members.len()),
            Some(join) => format!(
                "rank {} joins through {}",
                config.me,
                join.addresses.join(", ")
            ),
        }
    } else {
        let members = loaded.members().map_err(ConfigErrors::from)?;
        loaded.secret().map_err(ConfigErrors::from)?;
        loaded.sources()?;
        loaded
            .check_security(members.iter().map(|member| &member.address))
            .map_err(ConfigErrors::from)?;
        format!("what {} members share; `local` is not set", members.len())
    };
    let mut lines: Vec<(String, String, String)> = loaded
        .iter()
        .map(|(key, now)| (key.to_owned(), now.value.to_string(), now.origin.clone()))
        .collect();
    for (table, engine) in loaded.engines().iter().zip(loaded.sources()?) {
        let key = |name: &str| {
            let name = name.trim_start_matches(SOURCE_PREFIX);
            format!("source[{}].{name}", engine.name)
        };
        if table.get("source.id").is_none() {
            let first = engine.first.0.to_string();
            lines.push((key("id"), first, "default".to_owned()));
        }
        let set = table.iter();
        lines.extend(set.map(|(name, value, origin)| (key(name), value, origin)));
    }
    let values: BTreeMap<&str, [&str; 2]> = lines
        .iter()
        .map(|(key, value, origin)| (key.as_str(), [value.as_str(), origin.as_str()]))
        .collect();
    print(format, &values, || {
        let rows: Vec<Vec<String>> = lines
            .iter()
            .map(|(key, value, origin)| super::output::row([key, value, origin]))
            .collect();
        super::output::table(&rows)
    })?;
    eprintln!("the configuration is good: {whose}");
    Ok(())
}

fn story(key: &Key, loaded: &Loaded) -> BTreeMap<&'static str, String> {
    let mut story = BTreeMap::from([
        ("key", key.name.to_owned()),
        ("doc", key.doc.to_owned()),
        ("range", key.kind.range()),
    ]);
    if key.is_of_source() {
        let set_by = "a [[source]] table of the configuration file".to_owned();
        story.insert("set_by", set_by);
        return story;
    }
    story.insert("variable", key.env());
    if let Some(now) = loaded.get(key.name) {
        story.extend([
            ("value", now.value.to_string()),
            ("source", now.origin.clone()),
        ]);
    }
    story
}
