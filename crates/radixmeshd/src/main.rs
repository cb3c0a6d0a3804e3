//! The binary: all of it is in the library's [`cli`](radixmeshd::cli).

use std::process::ExitCode;

fn main() -> ExitCode {
    radixmeshd::cli::main()
}
