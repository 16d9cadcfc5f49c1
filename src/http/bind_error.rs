//! Why the API cannot listen on an address or a socket.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Listening on an address failed.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "port {} of {} is taken by another program: stop that program, or choose another port (--dapr-http-port, \
         --dapr-grpc-port, --metrics-port, --profile-port)", .0.port(), .0.ip()
    )]
    Taken(SocketAddr),
    /// The process lacks the permission.
    #[error("port {} needs more rights than this process has: choose a port above 1023", .0.port())]
    Denied(SocketAddr),
    /// The machine does not have this address.
    #[error(
        "{} is not an address of this machine: correct --dapr-listen-addresses or --metrics-listen-address", .0.ip()
    )]
    NotLocal(SocketAddr),
    #[error(
        "could not listen on {address}: {source}; check --dapr-listen-addresses, --dapr-http-port and \
         --dapr-grpc-port, or --metrics-listen-address and --metrics-port"
    )]
    Other {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(
        "the path of the socket {} has {length} bytes, and the system accepts {max}: choose a shorter folder for \
         --unix-domain-socket", .path.display()
    )]
    PathTooLong { path: PathBuf, length: usize, max: usize },
    #[error(
        "another program listens on the socket {}: stop that program, or choose another --unix-domain-socket or --app-id",
        .0.display()
    )]
    SocketTaken(PathBuf),
    #[error("{} is not a socket, and is left alone: remove it, or choose another --unix-domain-socket", .0.display())]
    NotASocket(PathBuf),
    #[error(
        "could not listen on the socket {}: {source}; check that the folder of --unix-domain-socket exists and that this \
         process may write to it", .path.display()
    )]
    Socket {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl BindError {
    pub(super) fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Taken(address),
            io::ErrorKind::PermissionDenied => Self::Denied(address),
            io::ErrorKind::AddrNotAvailable => Self::NotLocal(address),
            _ => Self::Other { address, source },
        }
    }
}
