//! Runs one search and says what it found.

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path, Property};

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Different states visited.
    pub states: usize,
    /// Steps from the first state to the farthest one visited.
    pub depth: usize,
    /// The first broken property.
    pub violation: Option<Violation>,
    /// What should be possible and was not seen, by name. Empty once everything was seen.
    pub unseen: Vec<&'static str>,
}

/// A broken property, and how it comes to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the property.
    pub property: &'static str,
    /// What happens, step by step.
    pub steps: Vec<String>,
}

/// Visits every state that `model` can reach, nearest first, until a property breaks.
///
pub(crate) fn search<M>(model: M, threads: usize) -> Outcome
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Clone + PartialEq + Debug,
{
    let done = model
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut found = done.discoveries();
    let mut violation = None;
    let mut unseen = Vec::new();
    for property in done.model().properties() {
        let discovery = found.remove(property.name);
        match property.expectation {
            Expectation::Sometimes if discovery.is_none() => unseen.push(property.name),
            Expectation::Sometimes => {}
            Expectation::Always | Expectation::Eventually => {
                let Some(path) = discovery else { continue };
                let steps = shortened(done.model(), path, &property);
                let shorter = |best: &Violation| steps.len() < best.steps.len();
                if violation.as_ref().is_none_or(shorter) {
                    violation = Some(Violation {
                        property: property.name,
                        steps: steps.iter().map(|step| format!("{step:?}")).collect(),
                    });
                }
            }
        }
    }
    Outcome {
        states: done.unique_state_count(),
        depth: done.max_depth().saturating_sub(1),
        violation,
        unseen,
    }
}

/// Leaves out steps for as long as what remains is possible and still ends in a broken property.
fn shortened<M>(
    model: &M,
    path: Path<M::State, M::Action>,
    property: &Property<M>,
) -> Vec<M::Action>
where
    M: Model,
    M::State: Clone,
    M::Action: Clone + PartialEq,
{
    let steps = path.into_vec();
    let Some((first, _)) = steps.first().cloned() else {
        return Vec::new();
    };
    let mut steps: Vec<M::Action> = steps.into_iter().filter_map(|(_, step)| step).collect();
    let mut at = 0;
    while at < steps.len() {
        let mut fewer = steps.clone();
        fewer.remove(at);
        match broken_after(model, first.clone(), &fewer, property) {
            Some(count) => {
                fewer.truncate(count);
                (steps, at) = (fewer, 0);
            }
            None => at += 1,
        }
    }
    steps
}

/// Returns after how many of these steps the property is broken; `None` when one of them is not possible before that.
fn broken_after<M>(
    model: &M,
    mut state: M::State,
    steps: &[M::Action],
    property: &Property<M>,
) -> Option<usize>
where
    M: Model,
    M::Action: Clone + PartialEq,
{
    let mut possible = Vec::new();
    for (count, step) in steps.iter().enumerate() {
        possible.clear();
        model.actions(&state, &mut possible);
        if !possible.contains(step) {
            return None;
        }
        state = model.next_state(&state, step.clone())?;
        if !(property.condition)(model, &state) {
            return Some(count + 1);
        }
    }
    None
}
