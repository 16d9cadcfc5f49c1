//! Finds the pluggable components at the sockets of a folder.

use super::plug::{Plug, Plugs};
use super::socket;
use crate::manifest::{Notice, is_served};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long a socket may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// A socket that has not answered is queried again after so long, or once its file is another one.
const SILENT_FOR: Duration = Duration::from_secs(600);
/// More files of the folder are not looked at.
const MAX_FILES: usize = 256;

const INPUT: &str = "dapr.proto.components.v1.InputBinding";
const OUTPUT: &str = "dapr.proto.components.v1.OutputBinding";

/// The sockets of a folder, and which of them did not answer.
#[derive(Debug)]
pub struct SocketFolder {
    folder: PathBuf,
    // A lock and not an owner task: held for a lookup, never across a wait.
    silent: Mutex<HashMap<PathBuf, Silent>>,
}

/// A socket that did not answer within the limit.
#[derive(Debug, Clone, Copy)]
struct Silent {
    file: FileId,
    until: Instant,
}

/// Tells a file from another one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    inode: u64,
    changed: (i64, i64),
}

#[derive(Debug)]
struct SocketFile {
    type_name: String,
    path: PathBuf,
    id: FileId,
}

enum Problem {
    Silent,
    Failed(String),
}

impl SocketFolder {
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), silent: Mutex::default() }
    }

    /// The pluggable bindings at the sockets, all queried at the same time, and notices about files that cannot be used. A
    /// type that is `known` is kept and its socket is not queried; neither is one that has not answered lately. A folder
    /// that does not exist is empty.
    pub async fn discover(&self, known: Plugs) -> (Plugs, Vec<Notice>) {
        let (mut plugs, mut notices) = (known, Vec::new());
        let sockets = self.sockets(&plugs, &mut notices).await;
        let asking = sockets.into_iter().map(async |socket| {
            let services = if self.is_silent(&socket) { Err(Problem::Silent) } else { services(&socket.path).await };
            (socket, services)
        });
        for (socket, services) in join_all(asking).await {
            let problem = match services {
                Ok(services) => {
                    self.lock().remove(&socket.path);
                    plugs.extend(plug(socket, &services));
                    continue;
                }
                Err(Problem::Failed(problem)) => problem,
                Err(Problem::Silent) => {
                    let silent = Silent { file: socket.id, until: Instant::now() + SILENT_FOR };
                    self.lock().entry(socket.path.clone()).or_insert(silent);
                    format!("no answer within {LIMIT:?}")
                }
            };
            let text = format!(
                "skipped: its pluggable component does not say what it serves: {problem}; start it before bindd"
            );
            notices.push(Notice::of_file(&socket.path.display().to_string(), text));
        }
        (plugs, notices)
    }

    /// Those that may serve a type which is not known yet.
    async fn sockets(&self, known: &Plugs, notices: &mut Vec<Notice>) -> Vec<SocketFile> {
        let files = list(&self.folder).await.unwrap_or_else(|error| {
            let text = format!("pluggable components are not searched for: {error}");
            notices.push(Notice::of_file(&self.folder.display().to_string(), text));
            Vec::new()
        });
        let mut sockets: Vec<SocketFile> = Vec::new();
        for (path, id) in files {
            let mut skip = |text: String| notices.push(Notice::of_file(&path.display().to_string(), text));
            let Some(id) = id else {
                skip("skipped: it is not the socket of a pluggable component".to_owned());
                continue;
            };
            match type_name(&path) {
                None => skip("skipped: the name of a socket is that of its type, in UTF-8".to_owned()),
                Some(name) if is_served(&name) => {
                    skip(format!("skipped: bindd serves `{name}` itself; rename the socket"));
                }
                Some(name) if known.get(&name).is_some_and(|plug| plug.socket == path) => {}
                Some(name) if known.get(&name).is_some() || sockets.iter().any(|other| other.type_name == name) => {
                    skip(format!("skipped: another socket serves `{name}`; rename one of them"));
                }
                Some(type_name) => sockets.push(SocketFile { type_name, path, id }),
            }
        }
        sockets
    }

    /// Whether the socket has not answered lately. Forgets what is too long ago, or of another file.
    fn is_silent(&self, socket: &SocketFile) -> bool {
        let mut silent = self.lock();
        let is_silent =
            silent.get(&socket.path).is_some_and(|known| known.file == socket.id && Instant::now() < known.until);
        if !is_silent {
            silent.remove(&socket.path);
        }
        is_silent
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Silent>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` without a binding among the services.
fn plug(SocketFile { type_name, path: socket, .. }: SocketFile, services: &[String]) -> Option<Plug> {
    let has = |name: &str| services.iter().any(|service| service == name);
    let (has_input, has_output) = (has(INPUT), has(OUTPUT));
    // At debug, because sockets of types that are not in use are queried again at each reload.
    tracing::debug!(
        socket = %socket.display(), input = has_input, output = has_output, "pluggable component serves {type_name}"
    );
    (has_input || has_output).then_some(Plug { type_name, socket, has_input, has_output })
}

/// The files of the folder but not its folders, by name, with an identity if they are sockets.
async fn list(folder: &Path) -> io::Result<Vec<(PathBuf, Option<FileId>)>> {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let kind = entry.file_type().await?;
        if kind.is_dir() || files.len() >= MAX_FILES {
            continue;
        }
        let id = match entry.metadata().await {
            Ok(file) => FileId { inode: file.ino(), changed: (file.ctime(), file.ctime_nsec()) },
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        files.push((entry.path(), kind.is_socket().then_some(id)));
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}

/// As in daprd: the file's name without its extension, in lower case.
fn type_name(socket: &Path) -> Option<String> {
    let file = socket.file_name()?.to_str()?;
    let name = file.rsplit_once('.').map_or(file, |(name, _)| name);
    (!name.is_empty()).then(|| format!("bindings.{}", name.to_lowercase()))
}

async fn services(socket: &Path) -> Result<Vec<String>, Problem> {
    let asking = async {
        let channel = socket::open(socket).await?;
        let listed = match list_v1(channel.clone()).await {
            Err(status) if status.code() == Code::Unimplemented => list_v1alpha(channel).await,
            listed => listed,
        };
        listed.map_err(|status| format!("{:?}: {}", status.code(), status.message()))
    };
    let answered = tokio::time::timeout(LIMIT, asking).await;
    answered.map_or(Err(Problem::Silent), |services| services.map_err(Problem::Failed))
}

/// The two versions of the protocol have the same messages in different types.
macro_rules! list_services {
    ($name:ident, $version:ident) => {
        async fn $name(channel: Channel) -> Result<Vec<String>, Status> {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            let question = MessageRequest::ListServices(String::new());
            let question = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
            let mut client = ServerReflectionClient::new(channel);
            let stream = client.server_reflection_info(futures_util::stream::iter([question])).await?;
            match stream.into_inner().message().await?.and_then(|response| response.message_response) {
                Some(MessageResponse::ListServicesResponse(list)) => {
                    Ok(list.service.into_iter().map(|service| service.name).collect())
                }
                Some(_) | None => Err(Status::internal("the answer is no list of services")),
            }
        }
    };
}

list_services!(list_v1, v1);
list_services!(list_v1alpha, v1alpha);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_after_the_file() {
        for (file, expected) in [
            ("Mail.sock", Some("bindings.mail")),
            ("acme.mail.socket", Some("bindings.acme.mail")),
            ("mail", Some("bindings.mail")),
            (".sock", None),
        ] {
            assert_eq!(type_name(&Path::new("sockets").join(file)).as_deref(), expected, "{file}");
        }
    }

    #[tokio::test]
    async fn what_is_no_component_is_skipped_with_the_reason_and_known_types_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("notes.txt"), "").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        // A socket whose listener was dropped refuses connections.
        for name in ["gone.sock", "cron.sock", "known.sock", "known.socket"] {
            drop(std::os::unix::net::UnixListener::bind(path(name)).unwrap());
        }
        let known = Plug {
            type_name: "bindings.known".to_owned(),
            socket: path("known.sock"),
            has_input: true,
            has_output: false,
        };
        let known = [std::sync::Arc::new(known)].into_iter().collect();
        let (plugs, notices) = SocketFolder::new(folder.path()).discover(known).await;
        assert_eq!(plugs.types(), ["bindings.known"]);
        let mut texts: Vec<_> = notices.iter().map(ToString::to_string).collect();
        texts.sort();
        let expected = ["serves `bindings.cron` itself", "does not say", "another socket", "not the socket"];
        assert_eq!(texts.len(), expected.len(), "{texts:?}");
        for (text, part) in texts.iter().zip(expected) {
            assert!(text.contains(part), "{text}");
        }
        let (plugs, notices) = SocketFolder::new(&path("no-such-folder")).discover(Plugs::default()).await;
        assert!(plugs.types().is_empty() && notices.is_empty());
    }

    #[tokio::test]
    async fn a_socket_that_did_not_answer_is_not_waited_for_again_until_it_is_another_or_long_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.sock");
        // It accepts connections and says nothing.
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let sockets = SocketFolder::new(folder.path());
        tokio::time::pause();
        let took = async || {
            let begun = Instant::now();
            let (plugs, notices) = sockets.discover(Plugs::default()).await;
            assert!(plugs.types().is_empty(), "{plugs:?}");
            assert!(notices[0].to_string().contains("no answer within 5s"), "{notices:?}");
            begun.elapsed()
        };
        assert!(took().await >= LIMIT);
        assert!(took().await < LIMIT);
        tokio::time::advance(SILENT_FOR).await;
        assert!(took().await >= LIMIT);
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(took().await >= LIMIT);
    }
}
