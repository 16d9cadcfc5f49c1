//! The API seen from outside: `answers` and `bodies` without a socket, `access` with and without, the others through
//! sockets.

mod access;
mod answers;
mod bodies;
mod fake_binding;
mod limits;
mod running;
mod slow_clients;
mod wire;
