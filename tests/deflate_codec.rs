//! Compressed messages against RFC 7692 and CASES.md group P.
#![cfg(feature = "deflate")]

mod util;

extern crate alloc;

use alloc::sync::Arc;

use sockeye::proto::{Config, Deflate};
use util::*;

fn deflate(change: impl FnOnce(&mut Deflate)) -> Arc<Config> {
    let mut deflate = Deflate::default();
    change(&mut deflate);
    config(|it| it.extensions.push(Arc::new(deflate)))
}

#[test]
fn smoke() {
    for role in ROLES {
        let config = deflate(|_| {});
        let bytes = [
            frame(
                true,
                RSV1,
                TEXT,
                mask_to(role),
                &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            ),
            frame(
                true,
                RSV1,
                TEXT,
                mask_to(role),
                &[0xf2, 0x00, 0x11, 0x00, 0x00],
            ),
        ]
        .concat();
        let (seen, _) = drive_every_way(|| negotiated(role, &config), &bytes);
        assert_eq!(seen.fault, None);
        assert_eq!(seen.events, [text("Hello"), text("Hello")]);
    }
}
