//! `cargo xtask bench`: measurements that are more than one `cargo bench`. One mode at a time, a module each.

mod icount;
mod peers;

use clap::{ArgGroup, Args};

/// Which measurement, and how.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("mode").required(true))]
pub(crate) struct Options {
    /// Compare the tree with the indices of the field: see benches/peers/README.md.
    #[arg(long, group = "mode", conflicts_with = "Count")]
    peers: bool,
    /// Count the instructions of core operations under valgrind, and compare with the committed baseline: see
    /// benches/README.md.
    #[arg(long, group = "mode", conflicts_with = "Compare")]
    icount: bool,
    #[command(flatten)]
    compare: peers::Compare,
    #[command(flatten)]
    count: icount::Count,
}

/// Measures. Errors: those of the mode.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.peers {
        peers::run(&options.compare)?;
    }
    if options.icount {
        icount::run(&options.count)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_mode_is_required_and_options_belong_to_theirs() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        assert!(parse("bench").is_err());
        assert!(parse("bench --quick").is_err());
        let cli = parse("bench --peers --quick --rounds 2").unwrap();
        assert!(cli.options.peers);
        assert!(parse("bench --peers --rounds 0").is_err());
        assert!(parse("bench --icount --tolerance 1.5").is_ok());
        assert!(parse("bench --icount --tolerance=-1").is_err());
        assert!(parse("bench --icount --peers").is_err());
        assert!(parse("bench --icount --quick").is_err());
        assert!(parse("bench --peers --bless").is_err());
        assert!(parse("bench --icount --operation match").is_ok());
        assert!(parse("bench --bless").is_err());
        // A part of the operations is no baseline.
        assert!(parse("bench --icount --operation match --bless").is_err());
    }
}
