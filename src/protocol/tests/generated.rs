//! Makes the generated code, and compares it with the committed one.

use prost::Message;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const DEFINITIONS: [&str; 7] = [
    "dapr/proto/runtime/v1/dapr.proto",
    "dapr/proto/runtime/v1/appcallback.proto",
    "dapr/proto/components/v1/bindings.proto",
    "dapr/proto/components/v1/common.proto",
    "google/rpc/error.proto",
    "grpc/health/v1/health.proto",
    "google/protobuf/empty.proto",
];
/// Set, it writes the files instead of comparing them.
const RENEW: &str = "BINDD_RENEW_PROTOCOL";

/// The files of `generated` by name, as the definitions say.
fn generate(definitions: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let mut descriptors = protox::compile(DEFINITIONS, [definitions]).unwrap();
    tonic_prost_build::configure()
        .bytes(".")
        .build_transport(false)
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .out_dir(folder.path())
        .compile_fds(descriptors.clone())
        .unwrap();
    // Comments are in the code already; in the descriptors they would only take memory.
    descriptors.file.iter_mut().for_each(|file| file.source_code_info = None);
    let mut files = read(folder.path());
    files.insert("descriptors.bin".to_owned(), descriptors.encode_to_vec());
    files
}

fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(_, content)| !content.is_empty())
        .collect()
}

#[test]
fn the_generated_code_is_up_to_date() {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol");
    let (fresh, folder) = (generate(&module.join("proto")), module.join("generated"));
    #[expect(clippy::disallowed_methods, reason = "a switch of this test")]
    let renews = std::env::var_os(RENEW).is_some();
    if renews {
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        fresh.iter().for_each(|(name, content)| fs::write(folder.join(name), content).unwrap());
    }
    let committed = read(&folder);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let how = format!("run `{RENEW}=1 cargo test --lib protocol` and commit src/protocol/generated");
    assert_eq!(names(&committed), names(&fresh), "{how}");
    for (name, content) in &fresh {
        assert!(committed.get(name) == Some(content), "{name} is not what src/protocol/proto says: {how}");
    }
}
