//! One core operation after the other, for counting instructions: what each does between its set-up and the end of
//! its calls is the same on every run. `cargo xtask bench --icount` counts; see benches/README.md.
//!
//! Without `--operation` every operation is called once, so that an ordinary `cargo bench` finds the broken ones.

mod data;
mod oplog;
mod routing;
mod tree_read;
mod tree_write;

/// Something whose instructions are counted.
struct Operation {
    /// Stable, as it names a row of the baseline.
    name: &'static str,
    /// How often it is called in one count.
    calls: usize,
    /// Sets up for that many calls and returns the call, which is told its number, from 0.
    prepare: fn(usize) -> Call,
}

type Call = Box<dyn FnMut(usize)>;

/// In the order of the table that is printed.
const OPERATIONS: &[&[Operation]] = &[
    tree_read::OPERATIONS,
    tree_write::OPERATIONS,
    oplog::OPERATIONS,
    routing::OPERATIONS,
];

/// Only what runs in here is counted: the counter knows this function by its name.
#[inline(never)]
fn icount_measured(calls: usize, call: &mut dyn FnMut(usize)) {
    for number in 0..calls {
        call(number);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut operations = OPERATIONS.iter().copied().flatten();
    match arguments.first().map(String::as_str) {
        Some("--operations") => {
            operations.for_each(|operation| println!("{} {}", operation.name, operation.calls));
        }
        Some("--operation") => {
            let name = arguments.get(1).map_or("", String::as_str);
            let operation = operations
                .find(|operation| operation.name == name)
                .unwrap_or_else(|| panic!("no operation is called {name:?}"));
            let mut call = (operation.prepare)(operation.calls);
            icount_measured(operation.calls, &mut *call);
        }
        _ => {
            for operation in operations {
                let mut call = (operation.prepare)(1);
                icount_measured(1, &mut *call);
            }
            println!(
                "icount: all ran once; `cargo xtask bench --icount` counts their instructions"
            );
        }
    }
}
