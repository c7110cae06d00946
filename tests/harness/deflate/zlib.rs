//! zlib itself, as the other implementation: raw DEFLATE streams with a safe interface.
#![allow(unsafe_code, reason = "zlib is C")]

use core::mem::{MaybeUninit, size_of};

use libz_sys as z;

/// A raw stream in either direction.
pub struct Zlib {
    /// Boxed, since zlib keeps the address.
    stream: Box<MaybeUninit<z::z_stream>>,
    inflates: bool,
}

impl Zlib {
    pub fn deflater(level: i32, bits: u8) -> Self {
        let mut stream = Box::new(MaybeUninit::<z::z_stream>::zeroed());
        // SAFETY: null functions select zlib's own allocator; the version and size are those of
        // this binding.
        let code = unsafe {
            z::deflateInit2_(
                stream.as_mut_ptr(),
                level,
                z::Z_DEFLATED,
                -i32::from(bits),
                8,
                z::Z_DEFAULT_STRATEGY,
                z::zlibVersion(),
                size_of::<z::z_stream>() as i32,
            )
        };
        assert_eq!(code, z::Z_OK);
        Self {
            stream,
            inflates: false,
        }
    }

    pub fn inflater(bits: u8) -> Self {
        let mut stream = Box::new(MaybeUninit::<z::z_stream>::zeroed());
        // SAFETY: as above.
        let code = unsafe {
            z::inflateInit2_(
                stream.as_mut_ptr(),
                -i32::from(bits),
                z::zlibVersion(),
                size_of::<z::z_stream>() as i32,
            )
        };
        assert_eq!(code, z::Z_OK);
        Self {
            stream,
            inflates: true,
        }
    }

    /// Makes one call with this much room; returns zlib's code, the bytes consumed and the output.
    fn step(&mut self, input: &[u8], room: usize, flush: i32) -> (i32, usize, Vec<u8>) {
        let mut output = vec![0; room];
        let stream = self.stream.as_mut_ptr();
        // SAFETY: the stream was initialised; the pointers and lengths are those of slices that
        // outlive the call.
        unsafe {
            (*stream).next_in = input.as_ptr().cast_mut();
            (*stream).avail_in = input.len() as u32;
            (*stream).next_out = output.as_mut_ptr();
            (*stream).avail_out = room as u32;
            let code = match self.inflates {
                true => z::inflate(stream, flush),
                false => z::deflate(stream, flush),
            };
            output.truncate(room - (*stream).avail_out as usize);
            (code, input.len() - (*stream).avail_in as usize, output)
        }
    }

    /// Compresses up to a flush.
    pub fn compress(&mut self, mut input: &[u8], flush: i32) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            // Always with room to spare: exactly enough would make zlib repeat the flush's marker.
            let room = input.len() + 1024;
            let (code, consumed, output) = self.step(input, room, flush);
            assert!(
                [z::Z_OK, z::Z_STREAM_END, z::Z_BUF_ERROR].contains(&code),
                "{code}"
            );
            input = &input[consumed..];
            all.extend(&output);
            if output.len() < room {
                assert!(input.is_empty());
                return all;
            }
        }
    }

    /// Returns a message's payload (RFC 7692 section 7.2.1).
    pub fn message(&mut self, input: &[u8]) -> Vec<u8> {
        let mut bytes = self.compress(input, z::Z_SYNC_FLUSH);
        if bytes.is_empty() {
            return vec![0x00];
        }
        assert!(bytes.ends_with(&[0x00, 0x00, 0xFF, 0xFF]));
        bytes.truncate(bytes.len() - 4);
        bytes
    }

    /// Inflates a message's payload, with its tail put back. With room for one byte at each call
    /// zlib can refer only to its window, so that a distance beyond the window is an error.
    pub fn inflate_message(&mut self, payload: &[u8]) -> Result<Vec<u8>, i32> {
        let bytes = [payload, &[0x00, 0x00, 0xFF, 0xFF]].concat();
        let (mut rest, mut all) = (&bytes[..], Vec::new());
        loop {
            let (code, consumed, output) = self.step(rest, 1, z::Z_SYNC_FLUSH);
            rest = &rest[consumed..];
            all.extend(&output);
            match code {
                z::Z_OK | z::Z_BUF_ERROR if output.is_empty() && rest.is_empty() => {
                    return Ok(all);
                }
                z::Z_OK => {}
                code => return Err(code),
            }
        }
    }

    /// Begins a new stream.
    pub fn reset(&mut self) {
        let stream = self.stream.as_mut_ptr();
        // SAFETY: the stream was initialised.
        let code = unsafe {
            match self.inflates {
                true => z::inflateReset(stream),
                false => z::deflateReset(stream),
            }
        };
        assert_eq!(code, z::Z_OK);
    }
}

impl Drop for Zlib {
    fn drop(&mut self) {
        let stream = self.stream.as_mut_ptr();
        // SAFETY: the stream was initialised, and is not used again.
        unsafe {
            match self.inflates {
                true => z::inflateEnd(stream),
                false => z::deflateEnd(stream),
            }
        };
    }
}
