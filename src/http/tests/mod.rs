//! The face seen from outside: `answers` without a socket, `locks` with and without, the others through real ones.

mod answers;
mod fake;
mod limits;
mod locks;
mod running;
mod wire;
