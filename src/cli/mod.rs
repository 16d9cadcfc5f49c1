//! The commands for operators: `bindd check` reads component files and, with `--connect`, tries what each component needs;
//! `bindd policy` prints the smallest IAM policy for them. Neither writes anything to AWS. `bindd leases` shows and changes
//! the lease table of an input.
//!
//! `check` makes the report, `access` decides which calls to try and what their results mean, `access_calls` makes them.
//! `policy` makes the output, `iam_policy` the policy itself.

mod access;
mod access_calls;
pub mod check;
mod iam_policy;
pub mod leases;
pub mod policy;
