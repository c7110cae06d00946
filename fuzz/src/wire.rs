//! A second, plain reader of frames (RFC 6455 section 5.2), written apart from the core's: what
//! the core reads and writes is held against it.

/// A frame, its payload unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    /// The three reserved bits, 0 to 7.
    pub rsv: u8,
    pub opcode: u8,
    pub masked: bool,
    /// The length that the header gives; what is there of it is in `payload`.
    pub length: u64,
    pub payload: Vec<u8>,
}

/// What the receiver of a stream knows.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Frames must be masked; else they must not be.
    pub masked: bool,
    /// The reserved bits allowed on a message's first frame.
    pub rsv: u8,
}

/// Reads all frames of `bytes`; the last one may have a part of its payload only. The second
/// part of the answer is what stands behind them.
pub fn frames(mut bytes: &[u8], rules: Rules) -> (Vec<Frame>, End) {
    let mut frames = Vec::new();
    let mut inside = false;
    loop {
        if bytes.is_empty() {
            return (frames, End::Clean);
        }
        match frame(bytes, rules, inside) {
            Ok(Some((frame, length))) => {
                bytes = &bytes[length..];
                if frame.opcode < 8 {
                    inside = !frame.fin;
                }
                frames.push(frame);
            }
            Ok(None) => return (frames, End::PartialHeader),
            Err(why) => return (frames, End::Bad(why)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing, though the last frame's payload may be incomplete.
    Clean,
    /// A part of a header that is good so far.
    PartialHeader,
    /// Bytes that prove the stream bad.
    Bad(&'static str),
}

/// The frame at the front, and how many bytes it took. Every rule is checked once its bytes are
/// there, in the order of these bytes.
fn frame(bytes: &[u8], rules: Rules, inside: bool) -> Result<Option<(Frame, usize)>, &'static str> {
    let first = bytes[0];
    let (fin, rsv, opcode) = (first >> 7 == 1, first >> 4 & 7, first & 15);
    let control = opcode >= 8;
    match opcode {
        0 if !inside => return Err("continuation of nothing"),
        1 | 2 if inside => return Err("message in a message"),
        0..=2 => {}
        8..=10 if !fin => return Err("control frame in fragments"),
        8..=10 => {}
        _ => return Err("reserved opcode"),
    }
    let allowed = if matches!(opcode, 1 | 2) {
        rules.rsv
    } else {
        0
    };
    if rsv != 0 && rsv != allowed {
        return Err("reserved bits");
    }
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    let masked = second >= 128;
    if masked != rules.masked {
        return Err("mask bit");
    }
    let short = second & 127;
    if control && short > 125 {
        return Err("long control frame");
    }
    if opcode == 8 && short == 1 {
        return Err("half a close code");
    }
    let (width, least) = match short {
        126 => (2, 126_u64),
        127 => (8, 65536),
        _ => (0, 0),
    };
    let long = &bytes[2..bytes.len().min(2 + width)];
    let mut length = long.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    // As far as the length is there, it can be too small already, or too large.
    if width == 8 && long.first().is_some_and(|&byte| byte >= 128) {
        return Err("length of 64 bits");
    }
    let missing = width - long.len();
    let most = (u128::from(length) << (8 * missing)) + ((1_u128 << (8 * missing)) - 1);
    if most < u128::from(least) {
        return Err("length not minimal");
    }
    if missing > 0 {
        return Ok(None);
    }
    if width == 0 {
        length = short.into();
    }
    let mut at = 2 + width;
    let mut key = [0; 4];
    if masked {
        let Some(bytes) = bytes.get(at..at + 4) else {
            return Ok(None);
        };
        key.copy_from_slice(bytes);
        at += 4;
    }
    let there = (bytes.len() - at).min(usize::try_from(length).unwrap_or(usize::MAX));
    let payload = bytes[at..at + there].iter().zip(key.iter().cycle());
    let frame = Frame {
        fin,
        rsv,
        opcode,
        masked,
        length,
        payload: payload.map(|(byte, key)| byte ^ key).collect(),
    };
    Ok(Some((frame, at + there)))
}

/// The frames of what an endpoint wrote.
///
/// # Panics
/// When it isn't whole frames that keep all rules.
pub fn written(bytes: &[u8], rules: Rules) -> Vec<Frame> {
    let (frames, end) = frames(bytes, rules);
    assert_eq!(end, End::Clean, "the output is not frames: {bytes:02x?}");
    for frame in &frames {
        assert_eq!(frame.length, frame.payload.len() as u64, "a frame is cut");
    }
    frames
}

/// Whether a Close frame may carry the code: RFC 6455 section 7.4 and IANA's registry.
pub fn is_close_code(code: u16) -> bool {
    match code {
        1004..=1006 | 1015 => false,
        1000..=1014 => true,
        _ => (3000..5000).contains(&code),
    }
}
