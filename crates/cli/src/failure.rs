//! Failures with exit codes, and how they are shown: the step first, then each cause once.

use fairweir_client::{ClientError, WAITING, verify::VerifyError};
use fairweir_node::{ConfigError, DataDirError, KeystoreError};
use std::process::ExitCode;

/// Why a command ends with another code than 0.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    error: anyhow::Error,
}

/// What the codes mean; the list is in `fairweir --help`.
pub(crate) mod code {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const REFUSED: u8 = 3;
    pub(crate) const UNREACHABLE: u8 = 4;
    pub(crate) const DOES_NOT_HOLD: u8 = 5;
    pub(crate) const MACHINE: u8 = 6;
    pub(crate) const UPGRADE: u8 = 7;
}

impl Exit {
    pub(crate) fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
        }
    }

    pub(crate) fn context(self, context: &'static str) -> Self {
        Self {
            code: self.code,
            error: self.error.context(context),
        }
    }

    pub(crate) fn message(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            error: anyhow::Error::msg(message.into()),
        }
    }
}

impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Self {
        Self {
            code: code::FAILED,
            error,
        }
    }
}

impl From<ClientError> for Exit {
    fn from(error: ClientError) -> Self {
        // As uncertain as a lost reply.
        if error.refusal_code() == Some(WAITING) {
            return Self::new(code::UNREACHABLE, error);
        }
        let code = match &error {
            ClientError::Net(_) | ClientError::StreamEnded => code::UNREACHABLE,
            ClientError::Refused(_) | ClientError::TxRefused(_) | ClientError::TooLong(_) => {
                code::REFUSED
            }
            ClientError::OtherAnswer
            | ClientError::Malformed(_)
            | ClientError::OtherBlob { .. } => code::DOES_NOT_HOLD,
        };
        let error = anyhow::Error::new(error);
        let error = if code == code::UNREACHABLE {
            error.context("the node was not reached: is `fairweir up` or `fairweir node run` running, and is --data or --node right?")
        } else {
            error
        };
        Self { code, error }
    }
}

impl From<VerifyError> for Exit {
    fn from(error: VerifyError) -> Self {
        let context = format!("the receipt is refused ({})", error.code());
        Self {
            code: code::DOES_NOT_HOLD,
            error: anyhow::Error::new(error).context(context),
        }
    }
}

macro_rules! machine {
    ($($error:ty),*) => {
        $(impl From<$error> for Exit {
            fn from(error: $error) -> Self {
                Self::new(code::MACHINE, error)
            }
        })*
    };
}
machine!(DataDirError, KeystoreError, ConfigError, std::io::Error);

#[expect(
    clippy::print_stderr,
    reason = "the one place where a command says why it failed"
)]
pub(crate) fn report(exit: &Exit) -> ExitCode {
    eprintln!("error: {}", exit.error);
    for cause in exit.error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    ExitCode::from(exit.code)
}
