//! The lease table against a DynamoDB in the process: the whole contract of `LeaseStore`, the rows that it leaves, and its
//! requests beside those of the KCL.

mod contract;
mod foreign;
mod items;
mod meaning;
mod recorder;
mod requests;
mod rows;
mod service;
