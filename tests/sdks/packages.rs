//! The packages of each language in their locked versions, installed once below the folder of Cargo's temporary files.

use std::fs;
use std::path::{Path, PathBuf};
use tokio::process::Command;
use tokio::sync::Mutex;

/// One installation at a time: tests share the folders, and the package managers use all cores.
static INSTALLING: Mutex<()> = Mutex::const_new(());

/// A folder with the programs of `folder` and their packages. Node looks for packages only beside a program and above.
pub(crate) async fn node(folder: &str) -> PathBuf {
    let _only = INSTALLING.lock().await;
    let (sources, installed) = folders(folder);
    for file in fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        copy(&file, &installed);
    }
    once(&installed, "package-lock.json", async || {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&installed);
        run(&mut npm).await;
    })
    .await;
    installed
}

/// The interpreter of a virtual environment with the packages of `folder`.
pub(crate) async fn python(folder: &str) -> PathBuf {
    let _only = INSTALLING.lock().await;
    let (sources, installed) = folders(folder);
    copy(&sources.join("requirements.txt"), &installed);
    let venv = installed.join("venv");
    let interpreter = venv.join("bin/python");
    once(&installed, "requirements.txt", async || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).await;
        let mut pip = Command::new(&interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        run(pip.arg(installed.join("requirements.txt"))).await;
    })
    .await;
    interpreter
}

/// The folder with the programs of a Go module. Go itself knows what has changed since the last build.
pub(crate) async fn go(folder: &str) -> PathBuf {
    let _only = INSTALLING.lock().await;
    let (sources, programs) = folders(folder);
    let mut go = Command::new("go");
    run(go.args(["build", "-mod=readonly", "-o"]).arg(&programs).arg("./...").current_dir(sources)).await;
    programs
}

/// The sources in the repository, and where they are installed or built.
fn folders(folder: &str) -> (PathBuf, PathBuf) {
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages").join(folder);
    fs::create_dir_all(&installed).unwrap();
    (Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), installed)
}

/// Leaves an equal copy alone, since a program may be reading it.
fn copy(file: &Path, folder: &Path) {
    let (text, to) = (fs::read(file).unwrap(), folder.join(file.file_name().unwrap()));
    if fs::read(&to).ok().as_ref() != Some(&text) {
        fs::write(to, text).unwrap();
    }
}

/// Installs unless the lock file is that of the last installation that succeeded.
async fn once(installed: &Path, lock_file: &str, install: impl AsyncFnOnce()) {
    let (lock, stamp) = (fs::read(installed.join(lock_file)).unwrap(), installed.join("installed"));
    if fs::read(&stamp).ok().as_ref() != Some(&lock) {
        install().await;
        fs::write(stamp, lock).unwrap();
    }
}

/// Runs a command that must succeed.
async fn run(command: &mut Command) {
    let shown = format!("{:?}", command.as_std());
    let output = command.kill_on_drop(true).output().await.unwrap_or_else(|error| {
        panic!("{shown} did not start: {error}; install Node, Python and Go, or leave the feature `sdks` out")
    });
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    assert!(output.status.success(), "{shown} failed: {}", String::from_utf8_lossy(&text));
}
