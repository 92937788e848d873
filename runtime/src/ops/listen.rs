//! Where the endpoints listen: a TCP address, a Unix socket, or both.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
#[cfg(feature = "tls")]
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

use crate::config::{SocketMode, SocketSettings};
#[cfg(feature = "tls")]
use crate::http::tls::ServerCertificate;

/// How many connections may wait in the kernel to be accepted: a flood must not crowd out a probe there.
const BACKLOG: u32 = 4096;

/// What listens.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    pub(crate) tcp: Option<TcpListener>,
    pub(crate) local: Option<UnixListener>,
    /// The certificate for TCP. `None`: TCP speaks plain HTTP.
    #[cfg(feature = "tls")]
    pub(crate) certificate: Option<Arc<ServerCertificate>>,
}

/// Why nothing listens at an address; the cause is part of the message, and so not a source that a chain would tell
/// once more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpsError {
    /// The TCP address cannot be listened on.
    #[error(
        "the ops endpoints cannot listen on {addr}: {error} (name another OPENRTC_OPS_ADDR; port 0 picks a free one)"
    )]
    Address {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The Unix socket cannot be made.
    #[error(
        "the ops socket {path:?} cannot be made: {error} (OPENRTC_OPS_SOCKET names a file in a directory that exists)"
    )]
    Socket {
        /// The path that was asked for.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process listens on this socket.
    #[error("the ops socket {0:?} is in use by another worker: give each an OPENRTC_OPS_SOCKET of its own")]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{0:?} is there and is no socket: name another OPENRTC_OPS_SOCKET")]
    NotASocket(PathBuf),
}

/// Listens from now on; returns the address as well, whose port was chosen by the system if it was 0.
pub(crate) fn listen(
    addr: Option<SocketAddr>,
    socket: Option<&SocketSettings>,
) -> Result<(Endpoint, Option<SocketAddr>), OpsError> {
    let tcp = addr.map(|addr| bind(addr).map_err(|error| OpsError::Address { addr, error })).transpose()?;
    let (tcp, addr) = tcp.unzip();
    let local = socket.map(|SocketSettings { path, mode }| bind_socket(path, *mode)).transpose()?;
    let endpoint = Endpoint {
        tcp,
        local,
        #[cfg(feature = "tls")]
        certificate: None,
    };
    Ok((endpoint, addr))
}

fn bind(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

/// Makes a socket. From its first moment, only the users that the mode names may connect. A socket file that an earlier
/// worker left behind is replaced.
fn bind_socket(path: &Path, mode: SocketMode) -> Result<UnixListener, OpsError> {
    clear(path)?;
    let bind = || {
        let socket = UnixSocket::new_stream()?;
        // Before there is a file: the file is made with no more than this, whatever the process's mask.
        fchmod(&socket, Mode::from_raw_mode(mode.bits()))?;
        socket.bind(path)?;
        // And now with all of it.
        fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()))?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => OpsError::InUse(path.to_owned()),
        _ => OpsError::Socket { path: path.to_owned(), error },
    })
}

/// Removes the socket of a worker that is gone.
fn clear(path: &Path) -> Result<(), OpsError> {
    let failed = |error| OpsError::Socket { path: path.to_owned(), error };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(there) if !there.file_type().is_socket() => return Err(OpsError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(OpsError::InUse(path.to_owned())),
    }
}
