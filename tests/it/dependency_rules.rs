//! Who may depend on whom, who may use which library, and under which licences: over `cargo metadata`.
//!
//! `deny.toml` says the same to those who have cargo-deny; the last test holds the two together.

mod deny_toml;
mod spdx;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use deny_toml::DenyToml;

/// Our crates and which of our crates each may depend on. Whoever is missing here does not belong to the platform.
const OURS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("edge", &["domain"]),
    ("exchange", &["domain"]),
    ("infra", &["domain"]),
    ("command-svc", &["domain", "edge", "exchange"]),
    ("projection-svc", &["domain"]),
    ("query-api", &["domain", "edge", "exchange", "projection-svc"]),
    ("door", &["domain", "edge", "command-svc", "projection-svc"]),
    ("desk", &["domain", "edge"]),
    ("lethe", &["domain", "edge", "exchange", "infra", "command-svc", "projection-svc", "query-api", "door", "desk"]),
    ("tests", &["domain", "edge", "exchange", "infra", "command-svc", "projection-svc", "query-api", "lethe"]),
];

/// All that the domain may build on: values and descriptions of values. Nothing here can reach the world.
const DOMAIN_MAY_USE: &[&str] =
    &["async-trait", "cel", "proptest", "serde", "serde_json", "sha2", "thiserror", "time", "utoipa", "uuid"];

/// What may not even be somewhere below the domain. `getrandom` cannot stand here: a library below `sha2` takes it up
/// as soon as the cipher, in the same build, asks for it. That the domain names it nowhere is proved all the same.
const NEVER_BELOW_DOMAIN: &[&str] = &[
    "aes-gcm",
    "async-nats",
    "axum",
    "hyper",
    "mio",
    "opentelemetry",
    "quick-xml",
    "rand",
    "redb",
    "reqwest",
    "sled",
    "tokio",
    "tracing",
];

/// What may not even be somewhere below the formats: as below the domain, but for XML.
const NEVER_BELOW_FORMATS: &[&str] = &[
    "aes-gcm",
    "async-nats",
    "axum",
    "hyper",
    "mio",
    "opentelemetry",
    "rand",
    "redb",
    "reqwest",
    "sled",
    "tokio",
    "tracing",
];

/// What only the adapters may reach: nowhere below a service.
const NEVER_BELOW_SERVICES: &[&str] = &[
    "aes-gcm",
    "age",
    "argon2",
    "async-nats",
    "cryptoki",
    "object_store",
    "opentelemetry",
    "redb",
    "reqwest",
    "ring",
    "sled",
    "tracing-subscriber",
];

/// Libraries that belong to one place, and the crates of ours that may name them.
const CONFINED: &[(&str, &[&str])] = &[
    ("age", &["infra"]),                 // backups
    ("askama", &["desk"]),               // pages
    ("aes-gcm", &["infra"]),             // only seal.rs and the key tree encrypt
    ("async-nats", &["infra", "tests"]), // the tests look at the raw journal
    ("argon2", &["infra"]),              // passwords
    ("axum", &["edge", "command-svc", "query-api", "door", "desk", "lethe"]),
    ("cargo_metadata", &["tests"]),
    ("cel", &["domain"]), // the language of edit checks
    ("clap", &["lethe"]),
    ("console", &["lethe"]),   // a password is typed unseen
    ("cryptoki", &["infra"]),  // the KMS in an HSM
    ("getrandom", &["infra"]), // chance is the port Dice
    ("indicatif", &["lethe"]),
    ("mimalloc", &["lethe"]),     // the one binary chooses
    ("minicbor", &["infra"]),     // the commit's frame
    ("object_store", &["infra"]), // off-site copies
    ("opentelemetry", &["infra"]),
    ("opentelemetry-otlp", &["infra"]),
    ("opentelemetry-prometheus", &["infra"]),
    ("opentelemetry_sdk", &["infra"]),
    ("prometheus", &["infra"]),
    ("qrcode", &["desk"]),
    ("quick-xml", &["command-svc", "exchange"]), // ODM
    ("redb", &["infra"]),
    // The KMS in OpenBao is a server; the demo and the tests are clients of our own API.
    ("reqwest", &["infra", "lethe", "tests"]),
    ("ring", &["infra", "tests"]), // signatures; authenticators of the tests' own
    ("rcgen", &["infra"]),         // TLS
    ("sled", &["infra"]),
    ("tokio-rustls", &["infra"]),
    ("tracing-opentelemetry", &["infra"]),
    ("tracing-subscriber", &["infra"]),
    ("x509-cert", &["infra"]), // TLS
    ("zeroize", &["infra"]),   // whoever needs it holds a key
];

/// The licences under which we take code; CDLA is for the list of root certificates, which is data. One of an `OR` is enough, an `AND` needs all.
const LICENCES: &[&str] =
    &["Apache-2.0", "BSD-3-Clause", "BlueOak-1.0.0", "CDLA-Permissive-2.0", "ISC", "MIT", "Unicode-3.0"];

/// Versions beside the one that we chose, each with what keeps it here.
const SECOND_VERSIONS: &[(&str, &str, &str)] = &[
    ("aead", "0.5", "age, by chacha20poly1305 and hpke"),
    ("aes", "0.8", "hpke, below age"),
    ("aes-gcm", "0.10", "hpke, below age"),
    ("base64", "0.23", "reqwest, hyper-util and object_store; async-nats, age and we are on 0.22"),
    ("bit-vec", "0.9", "yasna, below rcgen; never built, its feature is off"),
    ("bitflags", "1", "redox_syscall 0.2, below sled; never built on Linux"),
    ("block-buffer", "0.10", "digest 0.10, below age"),
    ("chacha20", "0.9", "chacha20poly1305, below age"),
    ("cipher", "0.4", "age"),
    ("const-oid", "0.9", "der 0.7, below age"),
    ("cpufeatures", "0.2", "the ciphers of age and curve25519-dalek 4"),
    ("crypto-common", "0.1", "the ciphers of age"),
    ("ctr", "0.9", "aes-gcm 0.10"),
    ("digest", "0.10", "age, and crc-fast below object_store"),
    ("getrandom", "0.2", "ring (TLS of async-nats) and rand 0.8"),
    ("getrandom", "0.3", "rand 0.9"),
    ("ghash", "0.5", "aes-gcm 0.10"),
    ("hybrid-array", "0.2", "ml-kem, below age"),
    ("inout", "0.1", "cipher 0.4"),
    ("itertools", "0.15", "object_store; prost is on 0.14"),
    ("nom", "7", "cel"),
    ("parking_lot", "0.11", "sled 0.34"),
    ("parking_lot_core", "0.8", "sled 0.34"),
    ("polyval", "0.6", "aes-gcm 0.10"),
    ("quick-xml", "0.41", "object_store"),
    ("r-efi", "5", "getrandom 0.3; never built on Linux"),
    ("rand", "0.8", "nuid below async-nats, and age"),
    ("rand", "0.9", "opentelemetry_sdk"),
    ("rand_chacha", "0.3", "rand 0.8"),
    ("rand_core", "0.6", "rand 0.8, and the ciphers of age"),
    ("rand_core", "0.9", "rand 0.9"),
    ("redox_syscall", "0.2", "sled 0.34; never built on Linux"),
    ("sha2", "0.10", "age"),
    ("syn", "2", "derive macros that have not moved to syn 3 yet; build time only"),
    ("synstructure", "0.13", "asn1-rs, below rcgen; never built, its feature is off"),
    ("thiserror", "1", "i18n-embed, below age"),
    ("thiserror-impl", "1", "thiserror 1"),
    ("universal-hash", "0.5", "age, by poly1305"),
    ("windows-sys", "0.52", "ring; never built on Linux"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).other_options(["--locked".to_owned()]);
    command.exec().expect("cargo metadata")
}

/// Of which crates of ours each crate of ours says that it depends on them, in any section of its manifest.
fn ours(metadata: &Metadata) -> BTreeMap<&str, &Package> {
    metadata.workspace_packages().into_iter().map(|package| (package.name.as_str(), package)).collect()
}

#[test]
fn our_crates_depend_on_each_other_only_downwards() {
    let metadata = metadata();
    let ours = ours(&metadata);
    let listed: BTreeSet<_> = OURS.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours.keys().copied().collect::<BTreeSet<_>>(), listed, "every crate has its place in the table");
    let mut wrong = Vec::new();
    for (name, may) in OURS {
        for dependency in &ours[name].dependencies {
            let to = dependency.name.as_str();
            if ours.contains_key(to) && !may.contains(&to) {
                wrong.push(format!("{name} must not depend on {to}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn each_library_is_named_only_where_it_belongs() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for (name, package) in ours(&metadata) {
        for dependency in &package.dependencies {
            let library = dependency.name.as_str();
            let confined = CONFINED.iter().find(|(confined, _)| *confined == library);
            if confined.is_some_and(|(_, may)| !may.contains(&name)) {
                wrong.push(format!("{name} must not use {library}"));
            }
            if name == "domain" && !DOMAIN_MAY_USE.contains(&library) {
                wrong.push(format!("domain must not use {library}"));
            }
            if library.starts_with("opentelemetry") && confined.is_none() {
                wrong.push(format!("{library} needs a row in the table of libraries"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn nothing_below_the_domain_and_the_services_can_reach_the_world() {
    let metadata = metadata();
    let services: &[&str] = &["command-svc", "projection-svc", "query-api", "door", "desk", "edge"];
    let pure = [("domain", NEVER_BELOW_DOMAIN), ("exchange", NEVER_BELOW_FORMATS)];
    let rules = services.iter().map(|name| (*name, NEVER_BELOW_SERVICES)).chain(pure);
    let mut wrong = Vec::new();
    for (name, never) in rules {
        let below = below(&metadata, name);
        assert!(below.contains("serde"), "{name} has no serde below it: this test looks at the wrong thing");
        wrong.extend(never.iter().filter(|library| below.contains(**library)).map(|it| format!("{name} reaches {it}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Every package that the crate is built of on any platform, tests apart.
fn below(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut open = vec![&ours(metadata)[name].id];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let built = |kinds: &[cargo_metadata::DepKindInfo]| {
                kinds.iter().any(|info| info.kind == DependencyKind::Normal || info.kind == DependencyKind::Build)
            };
            open.extend(nodes[id].deps.iter().filter(|dep| built(&dep.dep_kinds)).map(|dep| &dep.pkg));
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

#[test]
fn every_licence_is_on_the_list_and_every_package_from_the_public_registry() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        match &package.license {
            Some(expression) if spdx::allows(expression, LICENCES) == Ok(true) => {}
            other => wrong.push(format!("{} {}: {other:?}", package.name, package.version)),
        }
        let known = package.source.as_ref().map_or(package.manifest_path.starts_with(root()), |it| it.is_crates_io());
        if !known {
            wrong.push(format!("{} comes from {:?}", package.name, package.source));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn there_is_one_version_of_each_package_but_for_the_known_ones() {
    let metadata = metadata();
    let known = |name: &str, version: &str| {
        SECOND_VERSIONS.iter().any(|(package, prefix, _)| {
            *package == name && version.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in &metadata.packages {
        versions.entry(package.name.as_str()).or_default().push(package.version.to_string());
    }
    for (name, found) in &versions {
        let first: Vec<_> = found.iter().filter(|version| !known(name, version)).collect();
        assert_eq!(first.len(), 1, "{name}: {found:?}; one of them belongs on the list with its reason, or away");
    }
    for (name, prefix, _) in SECOND_VERSIONS {
        let there = versions.get(name).is_some_and(|found| {
            found.len() > 1 && found.iter().any(|it| it.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')))
        });
        assert!(there, "{name} {prefix} is not here any more: take it off the list");
    }
}

#[test]
fn deny_toml_says_the_same() {
    let deny = DenyToml::read(&root().join("deny.toml"));
    assert_eq!(deny.licences, LICENCES.iter().map(|it| it.to_string()).collect());
    let second = SECOND_VERSIONS.iter().map(|(name, prefix, _)| format!("{name}@{prefix}")).collect();
    assert_eq!(deny.skipped, second);
    let ours: BTreeSet<&str> = OURS.iter().map(|(name, _)| *name).collect();
    for (library, may) in CONFINED {
        let wrappers = deny.wrappers.get(*library).unwrap_or_else(|| panic!("deny.toml does not confine {library}"));
        let named: BTreeSet<&str> = wrappers.iter().map(String::as_str).filter(|name| ours.contains(name)).collect();
        assert_eq!(named, may.iter().copied().collect(), "who may use {library}");
    }
}
