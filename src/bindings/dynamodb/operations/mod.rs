//! The operations: one file each, from `data` over the SDK call to the response.
//!
//! Shared by several: `single_write` (retries and outcome of one write), `projection`, `paging` (from DynamoDB's pages
//! to the response's page) and `page_token` (`nextToken`).

pub(super) mod bulk;
mod cancellation;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod exec;
pub(super) mod get;
mod page_token;
mod paging;
mod projection;
pub(super) mod query;
mod single_write;
pub(super) mod transact;
pub(super) mod transact_get;
pub(super) mod update;
