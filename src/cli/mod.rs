//! What operators run beside the sidecar: `bindd check` reads component files and, with `--connect`, tries what each
//! component needs; `bindd policy` prints the least IAM policy for them. Neither writes anything to AWS.

pub mod check;
pub mod policy;
mod probe;
pub mod probe_calls;
mod statements;
