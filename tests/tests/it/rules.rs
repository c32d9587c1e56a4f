//! The rules of the repository that a compiler does not know: which crate may see which, who may act, and what
//! every file begins with.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// For each of our packages: what it depends on when it ships (build and dev-dependencies left out), by name,
/// everything reachable included. Without the functions' own feature `lambda`: the steps alone.
fn shipped_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    dependencies(&["--no-default-features"])
}

fn dependencies(features: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(features)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: BTreeMap<String, String> =
        metadata["packages"].as_array().unwrap().iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let mut direct: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let ships =
            |dep: &&Value| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
        let deps = node["deps"].as_array().unwrap().iter().filter(ships).map(|dep| text(&dep["pkg"]));
        direct.insert(text(&node["id"]), deps.collect());
    }
    let members = metadata["workspace_members"].as_array().unwrap();
    members.iter().map(|id| (names[&text(id)].clone(), reachable(&text(id), &direct, &names))).collect()
}

fn reachable(
    from: &str,
    direct: &BTreeMap<String, Vec<String>>,
    names: &BTreeMap<String, String>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next = direct[from].clone();
    while let Some(id) = next.pop() {
        if seen.insert(id.clone()) {
            next.extend(direct[&id].iter().cloned());
        }
    }
    seen.iter().map(|id| names[id].clone()).collect()
}

/// Our Rust sources, below the workspace's folders.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["cli", "functions", "fuzz", "shared", "simulator", "tests"]
        .iter()
        .map(|folder| root().join(folder))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 40, "only {} sources were found", files.len());
    files
}

#[test]
fn dependencies_point_down() {
    let all = shipped_dependencies();
    let allowed: [(&str, &[&str]); 18] = [
        ("model", &[]),
        ("ports", &["model"]),
        ("policy", &["model"]),
        ("prover", &["model", "policy"]),
        ("credentials", &["model"]),
        ("defender", &["credentials", "model"]),
        ("poll", &["credentials", "defender", "model", "ports"]),
        ("enrich", &["credentials", "defender", "model", "ports"]),
        ("hunt", &["credentials", "defender", "model", "policy", "ports"]),
        ("track", &["credentials", "defender", "model", "ports"]),
        ("respond", &["credentials", "defender", "model", "policy", "ports"]),
        ("notify", &["credentials", "model", "policy", "ports"]),
        ("aws", &["credentials", "model", "ports"]),
        (
            "local",
            &[
                "credentials",
                "defender",
                "enrich",
                "hunt",
                "model",
                "notify",
                "policy",
                "poll",
                "ports",
                "respond",
                "track",
            ],
        ),
        ("simulator", &[]),
        ("fuzz", &["credentials", "defender", "model", "notify", "policy", "ports", "simulator"]),
        (
            "cordon",
            &[
                "credentials",
                "defender",
                "enrich",
                "hunt",
                "local",
                "model",
                "notify",
                "policy",
                "poll",
                "ports",
                "prover",
                "respond",
                "simulator",
                "track",
            ],
        ),
        (
            "scenarios",
            &[
                "aws",
                "credentials",
                "defender",
                "enrich",
                "hunt",
                "local",
                "model",
                "notify",
                "policy",
                "poll",
                "ports",
                "respond",
                "simulator",
                "track",
            ],
        ),
    ];
    assert_eq!(all.len(), allowed.len(), "a package is missing from this table");
    for (package, may_see) in allowed {
        let ours: BTreeSet<&str> =
            all[package].iter().map(String::as_str).filter(|name| all.contains_key(*name)).collect();
        let beyond: Vec<_> = ours.iter().filter(|name| !may_see.contains(name)).collect();
        assert!(beyond.is_empty(), "{package} must not see {beyond:?}");
    }
}

#[test]
fn the_aws_host_knows_no_step() {
    let aws = &dependencies(&[])["aws"];
    assert!(aws.contains("lambda_runtime"), "with the feature `lambda`: {aws:?}");
    for above in ["defender", "poll", "hunt", "enrich", "respond", "track", "notify", "local", "simulator"] {
        assert!(!aws.contains(above), "aws must not see {above}");
    }
}

#[test]
fn no_step_links_a_host() {
    let all = shipped_dependencies();
    for step in ["poll", "hunt", "enrich", "respond", "track", "notify"] {
        for foreign in ["rusqlite", "libsqlite3-sys", "lambda_runtime", "aws-config", "clap", "hyper-tls"] {
            assert!(!all[step].contains(foreign), "{step} links {foreign}");
        }
    }
    let of_aws = all["cordon"].iter().find(|name| name.starts_with("aws-sdk") || name.starts_with("lambda_"));
    assert_eq!(of_aws, None, "the local binary links a crate of AWS");
}

/// What `cargo tree` shows for one package as it is built: names and versions, each once.
fn tree(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-dedupe"])
        .args(["--format", "{p}", "--package", package])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_function_links_one_tls_stack_and_no_database() {
    for function in ["poll", "hunt", "enrich", "respond", "track", "notify"] {
        let tree = tree(function);
        let is_linked = |name: &str| tree.iter().any(|line| line.starts_with(&format!("{name} v")));
        assert!(is_linked("lambda_runtime") && is_linked("aws-sdk-sqs"), "{function}: {tree:?}");
        for unwanted in [
            "libsqlite3-sys",
            "rusqlite",
            "clap",
            "local",
            "simulator",
            "prover",
            "cedar-policy-symcc",
            "ring",
            "openssl",
            "native-tls",
        ] {
            assert!(!is_linked(unwanted), "{function} links {unwanted}");
        }
        for one in ["rustls", "hyper", "aws-lc-sys", "reqwest"] {
            let versions: Vec<_> = tree.iter().filter(|line| line.starts_with(&format!("{one} v"))).collect();
            assert_eq!(versions.len(), 1, "{function}: {versions:?}");
        }
    }
    assert!(tree("cordon").iter().all(|line| !line.starts_with("lambda_") && !line.starts_with("aws-sdk")));
}

#[test]
fn only_respond_can_act() {
    let word = ["Resp", "onder"].concat();
    // The hosts hand it over without being able to call anything on it: `isolate` is the method to look for.
    let call = [".iso", "late("].concat();
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let ships = !place.contains("/tests/")
            && !["fuzz/", "simulator/", "tests/"].iter().any(|f| place.starts_with(f));
        if !ships {
            continue;
        }
        let may_name = ["functions/respond/", "shared/defender/", "shared/local/src/host.rs"];
        if text.contains(&word) {
            assert!(may_name.iter().any(|start| place.starts_with(start)), "{place} names {word}");
        }
        if text.contains(&call) {
            assert!(place.starts_with("functions/respond/"), "{place} isolates");
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let says = first.starts_with("//!") || first.starts_with("#![doc = include_str!");
        assert!(says, "{} does not begin with `//!`", file.display());
    }
}

#[test]
fn every_package_takes_its_lints_and_versions_from_the_workspace() {
    for member in ["cli", "fuzz", "tests", "simulator"].into_iter().map(|name| root().join(name)).chain(
        ["functions", "shared"].into_iter().flat_map(|folder| {
            std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path())
        }),
    ) {
        let manifest = member.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        assert!(text.contains("[lints]\nworkspace = true"), "{}: no workspace lints", manifest.display());
        let mut section = "";
        for line in text.lines() {
            if line.starts_with('[') {
                section = line;
            } else if section.contains("dependencies")
                && line.contains('=')
                && !line.trim_start().starts_with('#')
            {
                assert!(line.contains("workspace = true"), "{}: `{line}`", manifest.display());
            }
        }
    }
}

/// In each story a path in back quotes stands for the tests that are named behind it.
#[test]
fn every_failure_story_is_told_once_and_names_tests_that_exist() {
    let document = std::fs::read_to_string(root().join("docs/failure-stories.md")).unwrap();
    let stories: Vec<&str> = document.split("\n### ").skip(1).collect();
    let numbers = stories.iter().map(|story| story.split('.').next().unwrap().parse::<u32>().unwrap());
    assert_eq!(numbers.collect::<Vec<_>>(), (1..=45).collect::<Vec<_>>());
    for story in stories {
        let title = story.lines().next().unwrap();
        let (mut place, mut source, mut named) = ("", String::new(), 0);
        for quoted in story.split('`').skip(1).step_by(2) {
            if quoted.ends_with(".rs") {
                (place, source) = (quoted, std::fs::read_to_string(root().join(quoted)).unwrap());
            } else if quoted.contains('_') && !quoted.contains(['/', '.']) {
                assert!(
                    source.contains(&format!("fn {quoted}(")),
                    "{title}: no test `{quoted}` in `{place}`"
                );
                named += 1;
            }
        }
        assert!(named > 0, "{title}: no test is named");
    }
}

/// `scripts/torture --self-test` breaks them, which takes too long for every run.
#[test]
fn every_rule_that_is_broken_on_purpose_stands_where_it_is_said_to() {
    let text = std::fs::read_to_string(root().join("tests/mutations.toml")).unwrap();
    let all: toml::Table = text.parse().unwrap();
    let mutations = all["mutation"].as_array().unwrap();
    assert!(mutations.len() >= 4);
    for mutation in mutations {
        let field = |name: &str| mutation[name].as_str().unwrap();
        let source = std::fs::read_to_string(root().join(field("file"))).unwrap();
        assert_eq!(source.matches(field("find")).count(), 1, "{}", field("name"));
        assert_ne!(field("find"), field("replace"), "{}", field("name"));
    }
}
