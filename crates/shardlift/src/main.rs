//! The one binary of Shardlift: every role and every command of the operator. All of it is in the library beside it.

use std::process::ExitCode;

/// Every byte of a backup passes through buffers that live for milliseconds: this allocator gives them back and forth between
/// threads at about a tenth less of a shard's time than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages, each of which counts whole as soon as a byte of it is touched: a third more memory for a shard
    // at work, and no time gained. A kernel that knows no such switch is as good.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    shardlift::main()
}
