//! The file of a Unix socket: creating it, detecting a stale one, removing it.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// The file of a socket that was bound here. Dropping it removes the file.
#[derive(Debug)]
pub(in crate::server) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Tells a file from one that has replaced it: an inode's number may be used again.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Identity {
    fn new(of: &Metadata) -> Self {
        Self {
            device: of.dev(),
            inode: of.ino(),
            modified: (of.mtime(), of.mtime_nsec()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let now = fs::symlink_metadata(&self.path);
        if now.is_ok_and(|it| Identity::new(&it) == self.identity) {
            // If it can't be removed, the next bind finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds the path and listens.
///
/// # Errors
/// `AddrInUse` when the file is there and is no socket, or one on which somebody listens; the
/// operating system's.
pub(super) fn bind(
    path: &Path,
    mode: Option<u32>,
    backlog: i32,
) -> io::Result<(UnixListener, Option<SocketFile>)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Linux's abstract sockets begin with a zero byte, and have no file.
    if path
        .as_os_str()
        .as_bytes()
        .first()
        .is_none_or(|it| *it == 0)
    {
        socket.bind(&address)?;
        socket.listen(backlog)?;
        return Ok((socket.into(), None));
    }
    remove_stale(path, &address)?;
    socket.bind(&address)?;
    let file = SocketFile {
        path: path.into(),
        identity: Identity::new(&fs::symlink_metadata(path)?),
    };
    // Nobody can connect before it listens.
    if let Some(mode) = mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    Ok((socket.into(), Some(file)))
}

/// Removes the file of a server that was killed, on which nobody listens.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        // Any other file stays, and makes the bind fail.
        _ => return Ok(()),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Non-blocking: don't wait for a listener whose backlog is full.
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}

/// Returns the path that a socket is bound to; for an abstract one its name behind a zero byte.
pub(super) fn path(address: &SockAddr) -> PathBuf {
    if let Some(path) = address.as_pathname() {
        return path.into();
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_abstract_namespace() {
        let name = [&[0], name].concat();
        return PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&name));
    }
    PathBuf::new()
}
