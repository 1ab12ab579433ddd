//! Goal: what is built for a run of chaos, with a clock that goes wrong or a planted defect, can be
//! nothing that is shipped.
//! Method: rustc reads each crate's root with each such feature as a release build would, without
//! debug assertions, and must refuse it by our own word; as a development build would, it must not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// What every refusal says.
const REFUSAL: &str = "no release build has";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    features: BTreeMap<String, Vec<String>>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    metadata.packages
}

fn is_for_chaos(feature: &str) -> bool {
    feature == "chaos" || feature.starts_with("plant-")
}

/// Whether rustc refuses the crate by our own word. That it finds none of the crate's dependencies it
/// says too, and later.
fn is_refused(library: &Path, feature: &str, debug_assertions: bool) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "lib"])
        .args(["--emit", "metadata", "-o", "-"])
        .args(["--cfg", &format!("feature=\"{feature}\"")])
        .args(["-C", &format!("debug-assertions={debug_assertions}")])
        .arg(library)
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    said.contains("error: ") && said.contains(REFUSAL)
}

#[test]
fn no_release_build_has_a_wrong_clock_or_a_planted_defect() {
    let mut refused = Vec::new();
    for package in packages() {
        let Package {
            name,
            features,
            targets,
        } = package;
        let library = targets
            .iter()
            .find(|target| target.kind.iter().any(|kind| kind == "lib"));
        for (feature, enables) in features {
            if !is_for_chaos(&feature) {
                continue;
            }
            if enables.iter().any(|it| it == "billing-kit/chaos") {
                // It is billing-kit that refuses this one.
                continue;
            }
            let library = &library.unwrap().src_path;
            assert!(
                is_refused(library, &feature, false),
                "a release build of {name} takes {feature}"
            );
            assert!(
                !is_refused(library, &feature, true),
                "no build of {name} takes {feature}"
            );
            refused.push(format!("{name}/{feature}"));
        }
    }
    assert!(
        refused.contains(&"billing-kit/chaos".to_owned()),
        "{refused:?}"
    );
    assert!(refused.len() >= 5, "{refused:?}");
}

#[test]
fn images_are_release_builds_without_features() {
    let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let builds: Vec<_> = dockerfile.matches("cargo build").collect();
    let released: Vec<_> = dockerfile
        .matches("cargo build --release --locked")
        .collect();
    assert!(!builds.is_empty());
    assert_eq!(builds.len(), released.len());
    assert!(!dockerfile.contains("--features") && !dockerfile.contains("debug_assertions"));
    // What a release build is, is cargo's own to say: it has no debug assertions.
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("debug-assertions"));
}
