//! Rules of the house that no compiler checks: dependencies, purity, words, documents.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Crates that must stay pure: no tokio, no clock, no file anywhere in their dependency tree.
const PURE: [&str; 2] = ["types", "ledger"];
/// What a pure crate's tree must not contain.
const IMPURE: [&str; 10] = [
    "tokio",
    "mio",
    "iroh",
    "commonware-runtime",
    "commonware-p2p",
    "commonware-consensus",
    "commonware-storage",
    "axum",
    "reqwest",
    "tracing-subscriber",
];
/// Words that mean something else here or nothing at all (docs/glossary.md), with what to say instead.
const BANNED: [(&str, &str); 6] = [
    ("utilise", "use"),
    ("leverage ", "use"),
    ("blockchain", "chain or ledger"),
    ("miner", "worker, verifier or validator"),
    ("gas fee", "fee"),
    (
        "smart contract",
        "contract (on the settlement layer) or module",
    ),
];
/// The longest file of code, tests included.
const FILE_LINES_MAX: usize = 700;
/// Licences that the tree may have.
const LICENCES: [&str; 15] = [
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "MIT-0",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "OpenSSL",
];

/// Runs every check; returns what is wrong.
pub(crate) fn run() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned();
    let files = tracked_files(&root);
    let mut problems = Vec::new();
    problems.extend(dependencies(&root));
    problems.extend(purity(&root));
    problems.extend(manifests(&root));
    problems.extend(licences(&root));
    problems.extend(code(&root, &files));
    problems.extend(markdown(&root, &files));
    problems
}

fn tracked_files(root: &Path) -> Vec<PathBuf> {
    let listed = output(
        root,
        "git",
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    );
    listed
        .lines()
        .map(|line| root.join(line))
        .filter(|path| path.is_file())
        .collect()
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn crates(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("crates"))
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Every internal dependency must be in the table of ARCHITECTURE.md, and nothing else may be in the table.
fn dependencies(root: &Path) -> Vec<String> {
    let architecture = read(&root.join("ARCHITECTURE.md"));
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in architecture.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, _, may_use, ..] = cells.as_slice() else {
            continue;
        };
        let uses = may_use
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        allowed.insert(name.trim_matches('`').to_owned(), uses);
    }
    let mut problems = Vec::new();
    for name in crates(root) {
        let Some(allowed) = allowed.get(&name) else {
            problems.push(format!(
                "crates/{name} is not in the table of ARCHITECTURE.md"
            ));
            continue;
        };
        let manifest = read(&root.join("crates").join(&name).join("Cargo.toml"));
        let normal = manifest
            .split("[dev-dependencies]")
            .next()
            .unwrap_or_default();
        for used in normal
            .lines()
            .filter_map(|line| line.strip_prefix("fairweir-"))
        {
            let used = used.split([' ', '=', '.']).next().unwrap_or_default();
            if !allowed.contains(used) {
                problems.push(format!("crates/{name} depends on {used}, which the table of ARCHITECTURE.md does not allow"));
            }
        }
    }
    problems
}

fn purity(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for name in PURE {
        let package = format!("fairweir-{name}");
        let tree = output(
            root,
            "cargo",
            &[
                "tree",
                "--package",
                &package,
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--locked",
                "--offline",
            ],
        );
        let tree = if tree.is_empty() {
            output(
                root,
                "cargo",
                &[
                    "tree",
                    "--package",
                    &package,
                    "--edges",
                    "normal",
                    "--prefix",
                    "none",
                    "--locked",
                ],
            )
        } else {
            tree
        };
        if tree.is_empty() {
            problems.push(format!(
                "the dependency tree of {package} cannot be read: is Cargo.lock up to date?"
            ));
        }
        let found: BTreeSet<&str> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        problems.extend(
            IMPURE
                .iter()
                .filter(|impure| found.contains(*impure))
                .map(|impure| format!("{package} is pure, but {impure} is in its tree")),
        );
        if !root.join("crates").join(name).join("clippy.toml").exists() {
            problems.push(format!(
                "crates/{name} is pure and needs a clippy.toml of its own"
            ));
        }
    }
    problems
}

/// Every crate inherits lints, and takes versions from the workspace alone.
fn manifests(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let names = crates(root)
        .into_iter()
        .map(|name| format!("crates/{name}"))
        .chain(["xtask".to_owned()]);
    for folder in names {
        let manifest = read(&root.join(&folder).join("Cargo.toml"));
        if !manifest.contains("[lints]\nworkspace = true") {
            problems.push(format!(
                "{folder}/Cargo.toml does not inherit the workspace's lints"
            ));
        }
        let dependencies = manifest
            .split("dependencies]")
            .skip(1)
            .flat_map(|section| section.split("\n[").next());
        for line in dependencies
            .flat_map(str::lines)
            .filter(|line| line.contains('=') && !line.starts_with('#'))
        {
            if line.contains("version") || line.contains("= \"") {
                problems.push(format!(
                    "{folder}/Cargo.toml gives a version of its own: {line}"
                ));
            }
        }
        if folder.starts_with("crates/") && !root.join(&folder).join("README.md").exists() {
            problems.push(format!("{folder} has no README.md"));
        }
    }
    problems
}

fn licences(root: &Path) -> Vec<String> {
    let metadata = output(
        root,
        "cargo",
        &["metadata", "--format-version", "1", "--locked", "--offline"],
    );
    let mut problems = Vec::new();
    for part in metadata.split("\"license\":\"").skip(1) {
        let licence = part.split('"').next().unwrap_or_default();
        let alternatives = licence.replace('/', " OR ").replace(['(', ')'], " ");
        // Any alternative will do; of what is joined by AND, every part must be allowed.
        let allowed = alternatives.split(" OR ").any(|alternative| {
            alternative.split(" AND ").all(|name| {
                LICENCES.contains(&name.split(" WITH ").next().unwrap_or_default().trim())
            })
        });
        if !allowed {
            problems.push(format!(
                "a dependency has the licence {licence:?}, which is not on the list"
            ));
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

fn code(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let mut problems = Vec::new();
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
    {
        let text = read(path);
        let name = path.strip_prefix(root).unwrap_or(path).display();
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            problems.push(format!(
                "{name} has {lines} lines, more than {FILE_LINES_MAX}: split it by noun"
            ));
        }
        if name.to_string().starts_with("xtask/") {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            if line.contains("TODO") && !line.contains("TODO(#") {
                problems.push(format!(
                    "{name}:{number}: a TODO needs an issue number, as in TODO(#12)"
                ));
            }
            let lower = line.to_lowercase();
            for (word, instead) in BANNED.iter().filter(|(word, _)| lower.contains(word)) {
                problems.push(format!("{name}:{number}: say {instead}, not {word:?}"));
            }
        }
    }
    problems
}

/// One title, and links that lead somewhere.
fn markdown(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let mut problems = Vec::new();
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    {
        let text = read(path);
        let name = path.strip_prefix(root).unwrap_or(path).display();
        let mut in_code = false;
        let mut titles = 0;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            titles += usize::from(line.starts_with("# "));
            for target in line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
            {
                let file = target.split('#').next().unwrap_or_default();
                let is_relative =
                    !file.is_empty() && !file.contains("://") && !file.starts_with("crate::");
                let folder = path.parent().unwrap_or(root);
                if is_relative && !folder.join(file).exists() {
                    problems.push(format!(
                        "{name}:{number}: the link to {target} leads nowhere"
                    ));
                }
            }
        }
        if titles != 1 {
            problems.push(format!("{name} has {titles} titles, it must have one"));
        }
    }
    problems
}
