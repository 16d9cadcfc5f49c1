//! The API seen from outside: `answers` and `bodies` without a socket, `access` with and without, the others through
//! sockets. `openapi` and `openapi_statuses` compare it with its description.

mod access;
mod answers;
mod api_schema;
mod bodies;
mod fake_binding;
mod fake_components;
mod limits;
mod openapi;
mod openapi_components;
mod openapi_statuses;
mod running;
mod slow_clients;
mod wire;
