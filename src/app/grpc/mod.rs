//! The channel to an app that speaks gRPC: Dapr's services `AppCallback` and `AppCallbackHealthCheck`.
//!
//! One connection is shared by all calls. It is opened by the first call, and again by the next one after it broke, or after
//! a call had no response in time and the app had sent nothing meanwhile. tonic drives it in tasks that end with it.
//! An event is accepted when the app answered OK; the outputs that its response names are then called before the next event.

mod channel;
mod event;
mod failure;
mod health;
mod response;
mod subscriptions;

pub use channel::GrpcChannel;
pub use subscriptions::Subscribed;
