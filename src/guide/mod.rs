//! The guide: one chapter for each task, with examples that are compiled and run as tests.
//!
//! **A server**
//!
//! 1. [A server in ten steps](server)
//! 2. [Rooms, topics, presence, history](rooms)
//! 3. [HTTP beside WebSocket](http)
//! 4. [Authentication and CSWSH](authentication)
//! 5. [Slow work, timers, layers](work)
//! 6. [The browser client](browser)
//! 7. [Backpressure and slow readers](backpressure)
//! 8. [Compression and what it costs](compression)
//! 9. [TLS](tls)
//! 10. [Behind nginx and HAProxy](proxies)
//! 11. [Limits, and what an attacker can cost you](limits)
//! 12. [Testing an application](testing)
//! 13. [The traps that are left](traps)
//! 14. [Moving from other libraries](migrating)
//!
//! **The core**
//!
//! 15. [Embedding the core](embedding)
//! 16. [Full duplex, and in an async runtime](full_duplex)
//! 17. [Backpressure on `out`](output)
//! 18. [Streaming a gigabyte](streaming)
//! 19. [Writing an extension](extensions)
//! 20. [What `no_std` needs](no_std)
//!
//! This module is part of the manual and of no program.

#[doc = include_str!("server.md")]
pub mod server {}

#[doc = include_str!("rooms.md")]
pub mod rooms {}

#[doc = include_str!("http.md")]
pub mod http {}

#[doc = include_str!("authentication.md")]
pub mod authentication {}

#[doc = include_str!("work.md")]
pub mod work {}

#[doc = include_str!("browser.md")]
pub mod browser {}

#[doc = include_str!("backpressure.md")]
pub mod backpressure {}

#[doc = include_str!("compression.md")]
pub mod compression {}

#[doc = include_str!("tls.md")]
pub mod tls {}

#[doc = include_str!("proxies.md")]
pub mod proxies {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("traps.md")]
pub mod traps {}

#[doc = include_str!("migrating.md")]
pub mod migrating {}

#[doc = include_str!("embedding.md")]
pub mod embedding {}

#[doc = include_str!("full_duplex.md")]
pub mod full_duplex {}

#[doc = include_str!("output.md")]
pub mod output {}

#[doc = include_str!("streaming.md")]
pub mod streaming {}

#[doc = include_str!("extensions.md")]
pub mod extensions {}

#[doc = include_str!("no_std.md")]
pub mod no_std {}
