//! The top error: what failed, on what, then one line on what to do, and the exit code.

use std::borrow::Cow;
use std::{fmt, io};

use crate::advice::{Advice, EXIT_FAILED, EXIT_USAGE};

/// Why a command failed: any error that has advice for a person.
#[derive(Debug)]
pub struct Error(Box<dyn Advice + Send + Sync>);

impl Error {
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), Some(hint.into()));
        CommandError::Usage { message, hint }.into()
    }

    /// The request was valid, but it failed.
    pub(super) fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), Some(hint.into()));
        CommandError::Failed { message, hint }.into()
    }

    /// What was given for `flag` cannot be used, for the reason that reading it gave.
    pub(super) fn flag(flag: &str, problem: &impl Advice) -> Self {
        let message = format!("{flag}: {problem}");
        let hint = problem.hint().map(Cow::into_owned);
        CommandError::Usage { message, hint }.into()
    }

    pub(super) fn ports(source: io::Error) -> Self {
        CommandError::Ports(source).into()
    }

    pub(super) fn output(source: io::Error) -> Self {
        CommandError::Output(source).into()
    }

    pub(super) fn runtime(source: io::Error) -> Self {
        CommandError::Runtime(source).into()
    }

    /// One line on what to do.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        self.0.hint()
    }

    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        self.0.exit_code()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Advice + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

/// What only a command line fails with.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// The command line asks for something that is not there, or not in this way.
    #[error("{message}")]
    Usage { message: String, hint: Option<String> },
    /// The request was valid, but it failed.
    #[error("{message}")]
    Failed { message: String, hint: Option<String> },
    /// The system does not list its serial ports.
    #[error("cannot list the serial ports: {0}")]
    Ports(#[source] io::Error),
    /// Output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// The system gave no runtime.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

impl Advice for CommandError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Usage { hint, .. } | Self::Failed { hint, .. } => hint.as_deref().map(Cow::Borrowed),
            Self::Ports(_) | Self::Output(_) | Self::Runtime(_) => None,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => EXIT_USAGE,
            Self::Failed { .. } | Self::Ports(_) | Self::Output(_) | Self::Runtime(_) => EXIT_FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::GatewayError;
    use crate::udcf::Udcf;

    #[test]
    fn an_error_keeps_its_text_hint_and_exit_code() {
        let broken = || Udcf::parse(r#"{ "version": 6 }"#, "f").expect_err("a version to come");
        for (error, code) in [
            (Error::from(broken()), 2),
            (GatewayError::Udcf(broken()).into(), 2),
            (GatewayError::Signals(io::Error::other("x")).into(), 1),
            (Error::usage("x", "leave it out"), 2),
            (Error::flag("--model", &broken()), 2),
            (Error::failed("x", "try again"), 1),
            (Error::output(io::Error::other("x")), 1),
        ] {
            assert_eq!(error.exit_code(), code, "{error}");
        }
        let (error, flag) = (Error::from(broken()), Error::flag("--model", &broken()));
        assert_eq!(error.to_string(), broken().to_string());
        assert!(error.hint().is_some());
        assert_eq!(error.hint(), flag.hint());
        assert_eq!(flag.to_string(), format!("--model: {error}"));
    }
}
