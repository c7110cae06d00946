//! The guide: one chapter for each task, with examples that are compiled and run as tests.
//!
//! **A server**
//!
//! 1. [A server in ten steps](server)
//! 2. [Authentication and CSWSH](authentication)
//! 3. [Rooms, topics, presence, history](rooms)
//! 4. [Backpressure and slow readers](backpressure)
//! 5. [TLS](tls)
//! 6. [Behind nginx and HAProxy](proxies)
//! 7. [Compression and what it costs](compression)
//! 8. [Testing an application](testing)
//! 9. [Limits, and what an attacker can cost you](limits)
//! 10. [Moving from other libraries](migrating)
//! 11. [HTTP beside WebSocket](http)
//! 12. [The browser client](browser)
//! 13. [Slow work, timers, layers](work)
//!
//! **The core**
//!
//! 14. [Embedding the core](embedding)
//! 15. [Full duplex, and in an async runtime](full_duplex)
//! 16. [Backpressure on `out`](output)
//! 17. [Streaming a gigabyte](streaming)
//! 18. [Writing an extension](extensions)
//! 19. [What `no_std` needs](no_std)
//!
//! This module is part of the manual and of no program.

#[doc = include_str!("server.md")]
pub mod server {}

#[doc = include_str!("authentication.md")]
pub mod authentication {}

#[doc = include_str!("rooms.md")]
pub mod rooms {}

#[doc = include_str!("backpressure.md")]
pub mod backpressure {}

#[doc = include_str!("tls.md")]
pub mod tls {}

#[doc = include_str!("proxies.md")]
pub mod proxies {}

#[doc = include_str!("compression.md")]
pub mod compression {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("migrating.md")]
pub mod migrating {}

#[doc = include_str!("http.md")]
pub mod http {}

#[doc = include_str!("browser.md")]
pub mod browser {}

#[doc = include_str!("work.md")]
pub mod work {}

#[doc = include_str!("embedding.md")]
pub mod embedding {}

#[doc = include_str!("full_duplex.md")]
pub mod full_duplex {}

#[doc = include_str!("output.md")]
pub mod output {}

#[doc = include_str!("streaming.md")]
pub mod streaming {}

#[doc = include_str!("no_std.md")]
pub mod no_std {}

#[doc = include_str!("extensions.md")]
pub mod extensions {}
