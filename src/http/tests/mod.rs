//! The face seen from outside: `answers` and `bodies` without a socket, `locks` with and without, the others through real ones.

mod answers;
mod bodies;
mod fake;
mod limits;
mod locks;
mod running;
mod wire;
