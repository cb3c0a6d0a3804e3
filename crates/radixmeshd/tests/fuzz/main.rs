//! Arbitrary files, variables and flags: a configuration, or errors that say what is wrong.
//!
//! `cargo xtask fuzz config` runs this for as long as one likes.

use std::fs;
use std::path::{Path, PathBuf};

use radixmeshd::config::{
    ConfigErrors, Default, ENV_PREFIX, KEYS, Key, Loaded, SOURCE_KEYS, SOURCE_PREFIX, Sources,
};

/// Values of all kinds, good, bad and at the edges.
const VALUES: [&str; 46] = [
    "",
    "0",
    "1",
    "16",
    "-1",
    "1.5",
    "1e99",
    "18446744073709551616",
    "true",
    "no",
    "1s",
    "500ms",
    "0ms",
    "1000000000h",
    "99999999999999999999s",
    "auto",
    "off",
    "a:1",
    "a:1,b:2",
    "127.0.0.1:7000",
    "[::1]:3",
    "::1:3",
    "c:65535",
    ":0",
    "é:1",
    "info,oplog=debug",
    "oplog=loud",
    "[",
    "[[a]]",
    "{rank}",
    "/no/such/{rank}",
    "file:/no/such",
    SECRET,
    "0123456789abcdeg",
    "\"quoted\"",
    "[1, 2]",
    "{ a = 1 }",
    "nan",
    "2026-01-01",
    "\u{0}",
    "vllm",
    "tensorrt-llm",
    "approximate",
    "tcp://h:65535",
    "tcp://*:5557",
    "http://h:1",
];
/// A good secret: no error may show it.
const SECRET: &str = "f00dfacef00dface";

/// Takes what it needs from the front of the input; zeroes where there is no more.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn text(&mut self) -> String {
        let len = usize::from(self.byte() % 12).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8_lossy(taken).into_owned()
    }

    fn key(&mut self) -> &'static Key {
        &KEYS[usize::from(self.byte()) % KEYS.len()]
    }

    fn value(&mut self) -> String {
        match self.byte() {
            0..32 => self.text(),
            which => VALUES[usize::from(which) % VALUES.len()].to_owned(),
        }
    }
}

/// One line of a file: a key of ours, with a value written in one way or another, or anything.
fn line(input: &mut Input<'_>) -> String {
    let (how, key, value) = (input.byte(), input.key(), input.value());
    let name = key.name.rsplit('.').next().unwrap_or(key.name);
    match how % 8 {
        0 => input.text(),
        1 => format!("[{}]", key.name.split('.').next().unwrap_or(key.name)),
        2 => format!("{name} = {value}"),
        3 => format!("{name} = {value:?}"),
        4 => format!("{} = [{value:?}, {value:?}]", key.name),
        5 => format!("{} = {value}", key.name),
        _ => format!("{} = {value:?}", key.name),
    }
}

/// The table of an engine: of each key its example or default, an odd value, or nothing.
fn engine(input: &mut Input<'_>) -> String {
    let mut text = "\n[[source]]\n".to_owned();
    for key in SOURCE_KEYS {
        let name = key.name.trim_start_matches(SOURCE_PREFIX);
        let (Default::Toml(good) | Default::Unset(good) | Default::Required(good)) = key.default;
        let needed = matches!(key.default, Default::Required(_)) || name == "endpoint";
        match input.byte() % 16 {
            1 => text += &format!("{name} = {:?}\n", input.value()),
            2 => text += &format!("{name} = {}\n", input.value()),
            3 | 4 => text += &format!("{name} = {:?}\n", good.trim_matches('"')),
            _ if needed => text += &format!("{name} = {good:?}\n"),
            _ => {}
        }
    }
    text
}

/// Sources that the input stands for. Half of them have a sound ground, so that one odd value is all that is odd.
fn sources(input: &mut Input<'_>, file: &Path) -> Sources {
    let mut sources = Sources::default();
    let shape = input.byte();
    if shape.is_multiple_of(2) {
        let ground = [
            ("prefill", "127.0.0.1:1,127.0.0.1:2"),
            ("decode", "127.0.0.1:3"),
            ("local", "127.0.0.1:3"),
            ("fingerprint_key", SECRET),
        ];
        let variable = |(key, value): (&str, &str)| {
            (
                format!("{ENV_PREFIX}{}", key.to_uppercase()),
                value.to_owned(),
            )
        };
        sources.env.extend(ground.map(variable));
    }
    if shape & 4 != 0 {
        let text = if shape & 16 != 0 {
            let engines = (0..1 + input.byte() % 3).map(|_| engine(input));
            engines.collect::<String>().into_bytes()
        } else if shape & 8 != 0 {
            input.0.to_vec()
        } else {
            let lines: Vec<String> = (0..input.byte() % 8).map(|_| line(input)).collect();
            lines.join("\n").into_bytes()
        };
        fs::write(file, text).expect("a directory of our own");
        sources.file = Some(file.to_owned());
    }
    while !input.0.is_empty() {
        match input.byte() % 4 {
            0 => {
                let name = format!("{ENV_PREFIX}{}", input.text().to_uppercase());
                sources.env.push((name, input.value()));
            }
            1 => {
                let (key, value) = (input.key(), input.value());
                sources.env.push((key.env(), value));
            }
            2 => {
                // Whatever is no pair is said to be none; the rest goes on.
                let _ = sources.set(&input.text());
            }
            _ => {
                let pair = format!("{}={}", input.key().name, input.value());
                let _ = sources.set(&pair);
            }
        }
    }
    sources
}

fn check_errors(errors: &ConfigErrors) {
    assert!(!errors.0.is_empty());
    for error in &errors.0 {
        let text = error.to_string();
        assert!(!text.is_empty());
    }
}

fn check(bytes: &[u8], file: &Path) {
    let sources = sources(&mut Input(bytes), file);
    let loaded = match Loaded::load(&sources) {
        Ok(loaded) => loaded,
        Err(errors) => return check_errors(&errors),
    };
    for (name, resolved) in loaded.iter() {
        assert!(KEYS.iter().any(|key| key.name == name));
        if name == "fingerprint_key" {
            assert!(!resolved.value.to_string().contains(SECRET));
        }
    }
    for table in loaded.engines() {
        assert!(
            table
                .iter()
                .all(|(name, ..)| name.starts_with(SOURCE_PREFIX))
        );
    }
    match loaded.node() {
        Ok(config) => assert!(config.check().is_ok()),
        Err(errors) => check_errors(&errors),
    }
}

#[test]
fn any_sources_are_a_configuration_or_errors_that_say_what_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory of our own");
    let file: PathBuf = directory.path().join("mesh.toml");
    bolero::check!(name = "config")
        .with_iterations(500)
        .with_max_len(300)
        .for_each(|bytes: &[u8]| check(bytes, &file));
}
