//! `cargo xtask models`: every search of the crate `models`, with the time that it took. What is searched, and what must
//! come out, is the business of that crate.

use std::time::{Duration, Instant};

use clap::Args;
use models::{Case, Outcome};

/// What to search.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only this model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Threads of one search.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Show how each rule that is left out leads to a broken property.
    #[arg(long)]
    steps: bool,
}

/// Runs the searches and prints a line for each.
///
/// Ends the process with status 1 when a model with all rules breaks a property or does not reach what it should, or when
/// a rule is left out and nothing breaks.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let cases = models::cases();
    let is_chosen = |case: &Case| {
        options
            .model
            .as_deref()
            .is_none_or(|name| name == case.model)
    };
    let (begin, mut states, mut wrong, mut count) = (Instant::now(), 0, 0, 0);
    for case in cases.iter().filter(|case| is_chosen(case)) {
        let begin = Instant::now();
        let outcome = case.run(usize::from(options.threads));
        states += outcome.states;
        count += 1;
        wrong += u32::from(!case.is_right(&outcome));
        tell(case, &outcome, begin.elapsed(), options.steps);
    }
    anyhow::ensure!(count > 0, "no model has that name");
    println!(
        "{count} searches, {states} states, {:.1} s, {wrong} not as they should be",
        begin.elapsed().as_secs_f64()
    );
    if wrong > 0 {
        std::process::exit(1);
    }
    Ok(())
}

fn tell(case: &Case, outcome: &Outcome, time: Duration, steps: bool) {
    let rules = case.without.map_or_else(
        || "all rules".to_owned(),
        |rule| format!("without \"{rule}\""),
    );
    let verdict = match (&outcome.violation, case.is_right(outcome)) {
        (None, true) => "holds".to_owned(),
        (None, false) if case.without.is_some() => "NOT CAUGHT".to_owned(),
        (None, false) => format!("holds, but NEVER SEEN: {}", outcome.unseen.join(", ")),
        (Some(violation), right) => {
            let word = if right { "caught" } else { "BROKEN" };
            format!(
                "{word} in {} steps: {}",
                violation.steps.len(),
                violation.property
            )
        }
    };
    println!(
        "{:<13} {rules:<62} {:>9} states, depth {:>2}, {:>6.2} s  {verdict}",
        case.model,
        outcome.states,
        outcome.depth,
        time.as_secs_f64()
    );
    if let Some(violation) = outcome
        .violation
        .as_ref()
        .filter(|_| steps || !case.is_right(outcome))
    {
        for (number, step) in (1..).zip(&violation.steps) {
            println!("    {number}. {step}");
        }
    }
}
