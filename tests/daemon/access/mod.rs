//! Credentials, regions, proxies and the commands about them, against fake AWS servers on loopback. Tests that depend on
//! environment variables run the `bindd` binary with variables that they set.

mod clock;
mod fake_aws;
mod keys;
mod network;
mod probing;
mod program;
mod registration;
mod renewal;
mod sources;
mod sso;
mod unavailable;

pub(crate) use fake_aws::FakeAws;
