//! The one binary of Shardlift: every role and every command of the operator. All of it is in the library beside it.

use std::process::ExitCode;

/// Every byte of a backup passes through buffers that live for milliseconds: this allocator gives them back and forth between
/// threads at about a tenth less of a shard's time than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shardlift::main()
}
