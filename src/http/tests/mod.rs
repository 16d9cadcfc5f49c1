//! The face seen from outside: `answers` without a socket, `wire` through real ones.

mod answers;
mod fake;
mod wire;
