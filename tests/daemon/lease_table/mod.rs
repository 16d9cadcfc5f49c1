//! The lease table against a DynamoDB in the process: the whole contract of `LeaseStore`, and the rows that it leaves.

mod contract;
mod foreign;
mod items;
mod rows;
mod service;
