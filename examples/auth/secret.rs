//! The key that tokens are signed with.

use std::env;
use std::error::Error;

/// Returns `JWT_SECRET`; a random key without it.
///
/// # Errors
/// If the operating system has no random bytes.
pub(crate) fn read() -> Result<Vec<u8>, Box<dyn Error>> {
    match env::var("JWT_SECRET") {
        Ok(secret) if !secret.is_empty() => Ok(secret.into_bytes()),
        _ => {
            let mut random = vec![0; 32];
            getrandom::fill(&mut random)?;
            Ok(random)
        }
    }
}
