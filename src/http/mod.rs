//! The face towards callers: HTTP/1.1 and h2c on one port, in Dapr's dialect.
//!
//! The composition root binds the listeners with [`bind`], builds a [`Face`] and runs [`serve`] until it is told to
//! stop. A request goes `server` (connection) → `routes` (path, `admission`, token) → `invoke` or `health` → `error` when it
//! fails.
//!
//! Laws:
//! - No handler sees a request of a web page that is not allowed, or one under a name that is not ours (`admission`).
//! - Failures are put into answers in `error` and nowhere else; other rooms know kinds, and a kind knows its status.
//! - Bodies are counted while they are in memory (`buffer`); beyond the limit a request is refused, never made to wait.
//! - Every request that was read is answered, a stop included, unless the drain limit cuts it.
//! - `data` reaches the component as the exact bytes that were sent: a large one as a slice of the request's buffer, a
//!   small one copied, so that it does not keep the rest of that buffer alive.
//! - Everything runs in a supervised connection task, the streams of HTTP/2 included.
//!
//! Why own routing: Dapr's routes never answer 405, clean the path before matching, and read `+` in a name as a
//! space. One `match` over cleaned segments says this in a screen; a router's tables would have to be bent thrice.
//!
//! Why an own guard on heads: hyper's header timeout also closes keep-alive connections that are merely idle, and
//! does not run before the first bytes came. Either breaks a promise: a pooled client must be able to pause, and a
//! silent one must not hold a slot. A later hyper with separate limits would change our mind.

mod admission;
mod body;
mod buffer;
mod connection;
mod cors;
mod encoding;
mod error;
mod face;
mod head_clock;
mod health;
mod invoke;
mod json_path;
mod listen;
mod metrics;
mod outbound_wait;
mod raw;
mod request;
mod routes;
mod server;
mod trace;

pub use admission::{Access, AllowedHosts, AllowedOrigins};
pub use face::{AppConnection, Face, HttpSettings};
pub use listen::{BindError, Listeners, bind};
pub use metrics::{MAX_SCRAPERS, serve_metrics};
pub use outbound_wait::wait_until_outbound_ready;
pub use server::{Drained, serve};

#[cfg(test)]
mod tests;
