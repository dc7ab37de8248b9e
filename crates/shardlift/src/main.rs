//! The one binary of Shardlift: every role and every command of the operator. All of it is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    shardlift::main()
}
