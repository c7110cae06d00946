//! From the path of a request to a file of a folder, and to nothing else.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::proto::percent_decode;

/// What a path means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    File(PathBuf),
    /// A folder, and the path doesn't end with a slash.
    NoSlash,
    /// Nothing that may be had.
    Nothing,
}

/// Finds what `path` means, which is percent-encoded as sent: empty, or with a slash in front.
/// `root` is canonical.
///
/// # Errors
/// The file can't be looked at.
pub(super) fn find(root: &Path, path: &str) -> io::Result<Found> {
    let mut wanted = root.to_path_buf();
    let ends_with_slash = path.ends_with('/');
    if let Some(names) = path.strip_prefix('/').filter(|it| !it.is_empty()) {
        for name in names.strip_suffix('/').unwrap_or(names).split('/') {
            let name = percent_decode(name);
            if !is_name(&name) {
                return Ok(Found::Nothing);
            }
            wanted.push(&*name);
        }
    }
    // Links are followed, but not out of the folder and not to what is hidden.
    let mut real = wanted.canonicalize()?;
    if !is_within(root, &real) {
        return Ok(Found::Nothing);
    }
    match (real.is_dir(), ends_with_slash) {
        (true, false) => return Ok(Found::NoSlash),
        (false, true) => return Ok(Found::Nothing),
        (false, false) => {}
        (true, true) => real = real.join("index.html").canonicalize()?,
    }
    match is_within(root, &real) && real.is_file() {
        true => Ok(Found::File(real)),
        false => Ok(Found::Nothing),
    }
}

/// Whether a decoded segment is the name of something in a folder, and not hidden. A slash, a
/// backslash, a colon and NUL mean something else than a name on one system or another; the
/// replacement character stands for what isn't UTF-8.
fn is_name(segment: &str) -> bool {
    !segment.is_empty()
        && !segment.starts_with('.')
        && !segment.contains(['/', '\\', ':', '\0', '\u{FFFD}'])
}

fn is_within(root: &Path, real: &Path) -> bool {
    let Ok(below) = real.strip_prefix(root) else {
        return false;
    };
    let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    below
        .components()
        .all(|it| matches!(it, Component::Normal(name) if !is_hidden(name)))
}
