//! Credentials, regions, proxies and the commands about them, against servers of our own on loopback. What depends on the
//! environment is seen from the outside: the real program runs with an environment of the test's making and nothing else.

mod clock;
mod cloud;
mod keys;
mod network;
mod probing;
mod program;
mod registration;
mod renewal;
mod sources;
mod sso;
mod unavailable;
