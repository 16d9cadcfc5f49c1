//! Finds the pluggable components at the sockets of a folder.

use super::plug::{Plug, Plugs};
use super::socket;
use crate::manifest::{Notice, is_served};
use futures_util::future::join_all;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long a socket may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// More files of the folder are not looked at.
const MAX_FILES: usize = 256;

const INPUT: &str = "dapr.proto.components.v1.InputBinding";
const OUTPUT: &str = "dapr.proto.components.v1.OutputBinding";

/// The pluggable bindings at the sockets of a folder, all asked at the same time, and notices about files that cannot be
/// used. A type that is `known` is kept and its socket is not asked. A folder that does not exist is empty.
pub async fn discover(folder: &Path, known: Plugs) -> (Plugs, Vec<Notice>) {
    let mut notices = Vec::new();
    let files = list(folder).await.unwrap_or_else(|error| {
        let text = format!("pluggable components are not searched for: {error}");
        notices.push(Notice::of_file(&folder.display().to_string(), text));
        Vec::new()
    });
    let mut plugs = known;
    let mut asked: Vec<(String, PathBuf)> = Vec::new();
    for (path, is_socket) in files {
        let mut skip = |text: String| notices.push(Notice::of_file(&path.display().to_string(), text));
        match type_name(&path) {
            _ if !is_socket => skip("skipped: it is not the socket of a pluggable component".to_owned()),
            None => skip("skipped: the name of a socket is that of its type, in UTF-8".to_owned()),
            Some(name) if is_served(&name) => skip(format!("skipped: bindd serves `{name}` itself; rename the socket")),
            Some(name) if plugs.get(&name).is_some_and(|plug| plug.socket == path) => {}
            Some(name) if plugs.get(&name).is_some() || asked.iter().any(|(other, _)| *other == name) => {
                skip(format!("skipped: another socket serves `{name}`; rename one of them"));
            }
            Some(name) => asked.push((name, path)),
        }
    }
    let asking = asked.into_iter().map(async |(name, path)| {
        let services = services(&path).await;
        (name, path, services)
    });
    for (type_name, socket, services) in join_all(asking).await {
        match services {
            Ok(services) => {
                let has = |name: &str| services.iter().any(|service| service == name);
                let plug = Plug { type_name, socket, has_input: has(INPUT), has_output: has(OUTPUT) };
                if plug.has_input || plug.has_output {
                    // Types that are not in use are asked again at each reload.
                    tracing::debug!(
                        socket = %plug.socket.display(), input = plug.has_input, output = plug.has_output,
                        "pluggable component serves {}", plug.type_name
                    );
                    plugs.insert(plug);
                } else {
                    tracing::debug!(socket = %plug.socket.display(), "pluggable component has no binding");
                }
            }
            Err(problem) => notices.push(Notice::of_file(
                &socket.display().to_string(),
                format!(
                    "skipped: its pluggable component does not say what it serves: {problem}; start it before bindd"
                ),
            )),
        }
    }
    (plugs, notices)
}

/// The files of the folder but not its folders, by name, and whether each is a socket.
async fn list(folder: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let kind = entry.file_type().await?;
        if !kind.is_dir() && files.len() < MAX_FILES {
            files.push((entry.path(), kind.is_socket()));
        }
    }
    files.sort();
    Ok(files)
}

/// As in daprd: the file's name without its extension, in lower case.
fn type_name(socket: &Path) -> Option<String> {
    let file = socket.file_name()?.to_str()?;
    let name = file.rsplit_once('.').map_or(file, |(name, _)| name);
    (!name.is_empty()).then(|| format!("bindings.{}", name.to_lowercase()))
}

async fn services(socket: &Path) -> Result<Vec<String>, String> {
    let asking = async {
        let channel = socket::open(socket).await?;
        let listed = match list_v1(channel.clone()).await {
            Err(status) if status.code() == Code::Unimplemented => list_v1alpha(channel).await,
            listed => listed,
        };
        listed.map_err(|status| format!("{:?}: {}", status.code(), status.message()))
    };
    tokio::time::timeout(LIMIT, asking).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
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
        let (plugs, notices) = discover(folder.path(), [std::sync::Arc::new(known)].into_iter().collect()).await;
        assert_eq!(plugs.types(), ["bindings.known"]);
        let mut texts: Vec<_> = notices.iter().map(ToString::to_string).collect();
        texts.sort();
        let expected = ["serves `bindings.cron` itself", "does not say", "another socket", "not the socket"];
        assert_eq!(texts.len(), expected.len(), "{texts:?}");
        for (text, part) in texts.iter().zip(expected) {
            assert!(text.contains(part), "{text}");
        }
        let (plugs, notices) = discover(&path("no-such-folder"), Plugs::default()).await;
        assert!(plugs.types().is_empty() && notices.is_empty());
    }
}
