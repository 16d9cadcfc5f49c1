//! Pluggable components: programs that serve bindings through Dapr's gRPC protocol at Unix sockets in one folder.
//!
//! `discovery` asks each socket by gRPC reflection which sides it has, and names its type after the socket's file. `spec`
//! reads a component file of such a type. `session` opens a connection and initializes the component over it; `output` and
//! `input` call it, each over its own session. `failure` says what a gRPC status means.
//!
//! Invariants: a session is one connection. When it breaks, the next use opens another and initializes the component
//! again, because its program has probably been restarted. Each event is answered once over the stream on which it came.

mod binding;
mod discovery;
mod failure;
mod input;
mod output;
mod plug;
mod session;
mod socket;
mod spec;

pub(super) use binding::connect;
pub use discovery::SocketFolder;
pub use plug::{Plug, Plugs};
pub use spec::Spec;
