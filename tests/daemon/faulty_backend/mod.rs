//! The outputs through real sockets: the whole daemon in this process, many callers, a backend that fails as asked.
//! What callers were told is compared with what the backend stored.

mod callers;
mod judge;
mod world;

mod backend;
mod batching;
mod bulk;
#[cfg(feature = "embedded")]
mod enforced;
mod permission;
mod rows;
mod shutdown;
mod throttling;
mod truth;
