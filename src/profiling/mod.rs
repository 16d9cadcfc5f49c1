//! Profiles of this process in the format of `pprof` (<https://github.com/google/pprof>), gzipped as its tools expect.
//!
//! [`sample_heap`] is called once, before anything is started; [`start_cpu`] and [`heap`] make the profiles. No other
//! module knows the profilers.
//!
//! Invariant: without `--enable-profiling` there is no thread, no buffer and no signal handler for profiles. An allocation
//! then costs one read of a byte more than with the bare allocator.

mod cpu;
mod encoding;
mod heap;
mod symbols;

pub use cpu::{CpuError, CpuRecording, start_cpu};
pub use heap::{HeapError, allocator, heap, sample_heap};
