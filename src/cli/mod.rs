//! The commands for operators: `bindd check` reads component files and, with `--connect`, tries what each component needs;
//! `bindd policy` prints the smallest IAM policy for them. Neither writes anything to AWS. `bindd try` (`trial`) shows what a
//! component does with records. `bindd leases` shows and changes the lease table of an input.
//!
//! `check` makes the report. `policy` makes the output, `iam_policy` the policy itself: `iam_secrets` its part about
//! secrets, `iam_statements` its form. `files` reads the files as a sidecar would.

pub mod check;
mod files;
mod iam_policy;
mod iam_secrets;
mod iam_statements;
pub mod leases;
pub mod policy;
pub mod trial;
