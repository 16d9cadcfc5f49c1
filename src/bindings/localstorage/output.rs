//! Requests to local storage.

use super::files::{self, FileError, Listed};
use crate::domain::{
    BindingError, BodyMemory, FailureKind, InvokeRequest, InvokeResponse, OperationName, OutputBinding, Reservation,
};
use async_trait::async_trait;
use base64_simd::STANDARD;
use bytes::Bytes;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Requests that use the disk at the same time; others wait.
pub(super) const MAX_CONCURRENT: usize = 4;
const FILE_NAME: &str = "fileName";
/// Response metadata of a list: the number of folders that were left out.
const TOO_DEEP: &str = "foldersTooDeep";
static OPERATIONS: [OperationName; 4] =
    [Cow::Borrowed("create"), Cow::Borrowed("get"), Cow::Borrowed("list"), Cow::Borrowed("delete")];

#[derive(Debug)]
pub(super) struct Output {
    pub(super) root: Arc<PathBuf>,
    pub(super) max_file_size: usize,
    pub(super) disk: Arc<Semaphore>,
    /// For files that are read, until the app has them.
    pub(super) memory: BodyMemory,
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &[OperationName] {
        &OPERATIONS
    }

    async fn invoke(&self, request: InvokeRequest) -> Result<InvokeResponse, BindingError> {
        // The semaphore is never closed. The permit goes with the work, which goes on if the caller hangs up.
        let permit = Arc::clone(&self.disk).acquire_owned().await.ok();
        let (root, max, memory) = (Arc::clone(&self.root), self.max_file_size, self.memory.reservation());
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            perform(&root, max, memory, &request)
        });
        work.await.map_err(|error| {
            BindingError::new(FailureKind::Permanent, "the request ended without a result; look at the log")
                .with_source(error)
        })?
    }
}

fn perform(
    root: &Path,
    max: usize,
    mut memory: Reservation,
    request: &InvokeRequest,
) -> Result<InvokeResponse, BindingError> {
    let unique = uuid::Uuid::new_v4().to_string();
    let written = request.metadata.get(FILE_NAME);
    let path = match (written, request.operation.as_str()) {
        (Some(path), _) => path,
        (None, "create") => unique.as_str(),
        (None, "list") => "",
        (None, _) => {
            let text = format!("the request's metadata has no `{FILE_NAME}`; name the file there");
            return Err(BindingError::new(FailureKind::Caller, text));
        }
    };
    let failed = |error: FileError| failure(&request.operation, path, &error);
    let names = files::names(path).map_err(failed)?;
    let mut metadata = Vec::new();
    let data = match request.operation.as_str() {
        "create" => {
            files::create(root, &names, &content(&request.data), &unique).map_err(failed)?;
            Some(serde_json::json!({ "fileName": names.join("/") }).to_string().into())
        }
        "get" => {
            let data = Some(Bytes::from(files::get(root, &names, max, &mut memory).map_err(failed)?));
            let data = data.filter(|data| !data.is_empty());
            return Ok(InvokeResponse { data, memory: memory.into(), ..InvokeResponse::default() });
        }
        "list" => {
            let Listed { files, too_deep, .. } = files::list(root, &names).map_err(failed)?;
            if too_deep > 0 {
                metadata.push((TOO_DEEP.into(), too_deep.to_string()));
            }
            let texts: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
            Some(serde_json::json!(texts).to_string().into())
        }
        _ => {
            files::delete(root, &names).map_err(failed)?;
            None
        }
    };
    Ok(InvokeResponse { data, metadata, ..InvokeResponse::default() })
}

/// What is stored, as in Dapr: a JSON string loses its quotes, and a text that is base64 is decoded.
fn content(data: &[u8]) -> Vec<u8> {
    let text: Option<String> = serde_json::from_slice(data).ok();
    let text = text.map_or_else(|| data.to_vec(), String::into_bytes);
    let packed: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    STANDARD.decode_to_vec(packed).unwrap_or(text)
}

fn failure(operation: &str, path: &str, error: &FileError) -> BindingError {
    let kind = match error {
        FileError::NotFound => FailureKind::NotFound,
        FileError::TooLarge(_) | FileError::TooMany => FailureKind::TooLarge,
        FileError::MemoryFull(_) => FailureKind::Unavailable,
        FileError::Outside | FileError::TooDeep | FileError::Link | FileError::NotAFile | FileError::NotAFolder => {
            FailureKind::Caller
        }
        FileError::NotEmpty => FailureKind::Conflict,
        FileError::System(error) => match error.kind() {
            std::io::ErrorKind::PermissionDenied => FailureKind::Denied,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => FailureKind::Unavailable,
            std::io::ErrorKind::InvalidFilename => FailureKind::Caller,
            _ => FailureKind::Permanent,
        },
    };
    let shown: String = path.chars().take(200).flat_map(char::escape_debug).collect();
    BindingError::new(kind, format!("{operation} of the file `{shown}` failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn data_are_stored_as_dapr_stores_them() {
        for (data, stored) in [
            (&br#""Hello World""#[..], &b"Hello World"[..]),
            (br#"{"a": 1}"#, br#"{"a": 1}"#),
            (br#""SGVsbG8=""#, b"Hello"),
            (br#""SGVs\nbG8=""#, b"Hello"),
            (b"plain text", b"plain text"),
            (b"", b""),
        ] {
            assert_eq!(content(data), stored, "{}", String::from_utf8_lossy(data));
        }
    }

    #[tokio::test]
    async fn files_are_written_listed_and_read_by_requests() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(Semaphore::new(MAX_CONCURRENT));
        let output = Output {
            root: Arc::new(folder.path().to_owned()),
            max_file_size: 100,
            disk,
            memory: BodyMemory::new(Some(50)),
        };
        let call = |operation: &str, name: Option<&str>, data: &'static [u8]| InvokeRequest {
            operation: operation.to_owned(),
            data: Bytes::from_static(data),
            form: crate::domain::DataForm::Json,
            metadata: name.map(|name| (FILE_NAME.to_owned(), name.to_owned())).into_iter().collect(),
        };
        let body = |response: InvokeResponse| String::from_utf8(response.data.unwrap_or_default().to_vec()).unwrap();
        let created = output.invoke(call("create", Some("a/b.txt"), b"\"text!\"")).await.unwrap();
        assert_eq!(body(created), r#"{"fileName":"a/b.txt"}"#);
        let named = body(output.invoke(call("create", None, b"1")).await.unwrap());
        assert_eq!(named.len(), r#"{"fileName":""}"#.len() + 36, "{named}");
        assert_eq!(body(output.invoke(call("get", Some("a/b.txt"), b"")).await.unwrap()), "text!");
        let listed: Vec<String> =
            serde_json::from_str(&body(output.invoke(call("list", Some("a"), b"")).await.unwrap())).unwrap();
        assert_eq!(listed, [folder.path().join("a/b.txt").to_str().unwrap()]);
        assert_eq!(output.invoke(call("delete", Some("a/b.txt"), b"")).await.unwrap().data, None);
        let empty = body(output.invoke(call("list", Some("a"), b"")).await.unwrap());
        assert_eq!(empty, "[]");
        std::fs::write(folder.path().join("large"), [b'x'; 50]).unwrap();
        let held = output.invoke(call("get", Some("large"), b"")).await.unwrap();
        let full = output.invoke(call("get", Some("large"), b"")).await.unwrap_err();
        assert_eq!((full.kind(), full.outcome()), (FailureKind::Unavailable, Outcome::NotDone), "{full}");
        let held = held.hold(&output.memory).unwrap();
        assert!(output.invoke(call("get", Some("large"), b"")).await.is_err(), "its memory is reserved once");
        drop(held);
        assert_eq!(body(output.invoke(call("get", Some("large"), b"")).await.unwrap()).len(), 50);
        for (operation, name, kind) in [
            ("get", Some("a/b.txt"), FailureKind::NotFound),
            ("get", None, FailureKind::Caller),
            ("delete", Some("../x"), FailureKind::Caller),
        ] {
            let error = output.invoke(call(operation, name, b"")).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{operation} {name:?}: {error}");
        }
    }
}
