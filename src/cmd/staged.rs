//! A command that changes a board step by step. Ctrl-C ends it at any time, and its error names the state that the board is
//! left in.

use crate::cmd::error::Error;

/// Why it ended: what concerns the board, or what any command may fail with.
pub(super) enum Failure<E> {
    Board(E),
    Other(Error),
}

impl<E> From<Error> for Failure<E> {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Takes the steps. `failed` adds how far they had come when they ended.
pub(super) async fn run<E>(
    steps: impl Future<Output = Result<(), Failure<E>>>,
    interrupted: E,
    failed: impl FnOnce(E) -> Error,
) -> Result<(), Error> {
    let ended = tokio::select! {
        ended = steps => ended,
        // If Ctrl-C cannot be listened for, it ends the process.
        Ok(()) = tokio::signal::ctrl_c() => Err(Failure::Board(interrupted)),
    };
    ended.map_err(|failure| match failure {
        Failure::Board(error) => failed(error),
        Failure::Other(error) => error,
    })
}
