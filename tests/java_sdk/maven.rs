//! Java programs of the tests, built by Maven.

use std::fs;
use std::path::Path;
use std::process::Output;
use tokio::process::Command;

/// Builds the project below `tests/java_sdk`, for which Maven downloads libraries; returns the class path.
pub(crate) async fn build(project: &str, name: &str) -> String {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java_sdk").join(project).join("pom.xml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let classpath = target.join("classpath");
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(pom).arg(format!("-Dbuild.to={}", target.display()));
    // Goals, since the phase `compile` would also run plugins that pom.xml does not pin.
    maven.args(["compiler:compile", "dependency:build-classpath"]);
    maven.arg(format!("-Dmdep.outputFile={}", classpath.display()));
    let output = maven.output().await.unwrap_or_else(|error| {
        panic!("`mvn` did not start: {error}; install a JDK of version 17 or later and Maven, or leave the feature `java` out")
    });
    assert_success("mvn", &output);
    format!("{}:{}", target.join("classes").display(), fs::read_to_string(classpath).unwrap())
}

pub(crate) fn assert_success(program: &str, output: &Output) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    assert!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&text));
}
