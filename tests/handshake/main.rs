//! The opening handshake of both roles and the HTTP/1.1 head under it.

mod answer;
mod bent;
mod body;
mod client;
mod client_request;
mod extension_grammar;
mod head;
mod http_body;
mod http_fields;
mod http_head;
mod joined;
mod keys;
mod memory;
mod misuse;
mod once;
mod request;
mod server;
mod url;

#[global_allocator]
static ALLOCATOR: harness::counting::Counting = harness::counting::Counting;
