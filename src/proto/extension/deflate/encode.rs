//! Compressing what is sent (RFC 7692 section 7.2.1).

use alloc::vec::Vec;

use flate2::{Compress, FlushCompress};

use super::negotiate::NAME;
use super::{Deflate, Direction, Level, WindowBits, append, pool};
use crate::proto::extension::{Encoding, PerMessageEncode, PreparedKey, PreparedUse};

/// The empty block that ends what a flush yields, which is not sent (RFC 7692 section 7.2.1:
/// "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end.").
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// The most that `out` grows by at once beyond its doubling.
const STEP: usize = 16 * 1024;

/// An upper bound of what a flush and an incompressible payload's block header add.
const SLACK: usize = 64;

/// The sending half of one connection.
pub(super) struct Encoder {
    takeover: bool,
    /// None if a window of 8 bits was agreed on: zlib compresses at 9 and up.
    window: Option<WindowBits>,
    level: Level,
    threshold: usize,
    prepared: PreparedUse,
    /// Kept from the first compressed message on with context takeover, otherwise only inside a
    /// message.
    compress: Option<Compress>,
    /// Whether the peer's inflater got a message that the compressor didn't see, or may not have
    /// got one that it saw.
    stale: bool,
    /// Whether something was compressed since the connection was last found silent.
    used: bool,
    /// Whether a message of several pieces is under way.
    under_way: bool,
}

impl Encoder {
    pub(super) fn new(settings: &Deflate, agreed: Direction) -> Self {
        Self {
            takeover: agreed.takeover,
            window: agreed.window,
            level: settings.level,
            threshold: settings.threshold,
            prepared: settings.prepared,
            compress: None,
            stale: false,
            used: false,
            under_way: false,
        }
    }

    fn compressor(&mut self, window: WindowBits) -> &mut Compress {
        if core::mem::take(&mut self.stale)
            && let Some(compress) = &mut self.compress
        {
            compress.reset();
        }
        let (takeover, level) = (self.takeover, self.level);
        self.compress.get_or_insert_with(|| match takeover {
            true => pool::new_compressor(level, window),
            false => pool::take_compressor(level, window),
        })
    }
}

impl PerMessageEncode for Encoder {
    fn encode(&mut self, payload: &[u8], fin: bool, encoding: Encoding, out: &mut Vec<u8>) -> bool {
        let Some(window) = self.window else {
            return false;
        };
        let whole = fin && !self.under_way;
        if whole && encoding == Encoding::Auto && payload.len() < self.threshold {
            return false;
        }
        self.under_way = !fin;
        self.used = true;
        let start = out.len();
        compress_piece(self.compressor(window), payload, fin, out);
        if !self.takeover
            && fin
            && let Some(compress) = self.compress.take()
        {
            pool::give_compressor(self.level, window, compress);
            // With context takeover the peer's inflater must see what the compressor saw, or
            // later messages refer to what it never had: there it is sent, some bytes longer.
            if whole && encoding == Encoding::Auto && out.len() - start >= payload.len() {
                out.truncate(start);
                return false;
            }
        }
        true
    }

    fn idle(&mut self) {
        // A reset compressor refers to nothing before itself, so it fits any inflater.
        if !self.used {
            self.compress = None;
        }
        self.used = false;
    }

    fn forget(&mut self) {
        self.stale = true;
    }

    fn use_prepared(&mut self, prepared: Option<PreparedKey>) -> PreparedUse {
        let fits = match (prepared, self.window) {
            (Some(key), Some(window)) => key.extension == NAME && key.key <= window.bits().into(),
            _ => false,
        };
        match self.prepared {
            // Without takeover every message is compressed by itself anyway.
            _ if fits && !self.takeover => PreparedUse::Shared,
            PreparedUse::Shared if fits => {
                self.stale = true;
                PreparedUse::Shared
            }
            PreparedUse::Each if self.takeover => PreparedUse::Each,
            _ => PreparedUse::Plain,
        }
    }
}

/// Compresses a whole message by itself; None if that doesn't make it shorter.
pub(super) fn compress_once(payload: &[u8], level: Level, window: WindowBits) -> Option<Vec<u8>> {
    let mut compress = pool::take_compressor(level, window);
    let mut out = Vec::new();
    compress_piece(&mut compress, payload, true, &mut out);
    pool::give_compressor(level, window, compress);
    (out.len() < payload.len()).then_some(out)
}

/// Appends the next piece of a message, up to a byte boundary, so that each piece can be a frame.
fn compress_piece(compress: &mut Compress, mut payload: &[u8], fin: bool, out: &mut Vec<u8>) {
    let start = out.len();
    loop {
        let room = payload.len().min(STEP) + SLACK;
        let (consumed, written) = (compress.total_in(), out.len());
        let result = append(out, room, |out| {
            let before = compress.total_out();
            let result = compress.compress(payload, out, FlushCompress::Sync);
            ((compress.total_out() - before) as usize, result)
        });
        let full = out.len() - written == room;
        payload = &payload[(compress.total_in() - consumed) as usize..];
        // There is no error to handle: zlib has one for an invalid state and for a finished stream,
        // neither of which occurs here.
        debug_assert!(result.is_ok(), "{result:?}");
        if result.is_err() || payload.is_empty() && !full {
            break;
        }
    }
    if fin && out[start..].ends_with(&TAIL) {
        out.truncate(out.len() - TAIL.len());
    }
    // RFC 7692 section 7.2.3.6: "If the compression library being used doesn't generate any data
    // when its buffer is empty, an empty uncompressed DEFLATE block can be built and used for
    // this purpose as follows: 0x00".
    if fin && out.len() == start {
        out.push(0x00);
    }
}
