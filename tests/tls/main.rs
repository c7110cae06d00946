//! TLS under the server and the client, with rustls itself at the other end.

mod client;
mod proxies;
mod reload;
mod server;
