//! bindd: arguments, runtime, exit code.
fn main() {}
