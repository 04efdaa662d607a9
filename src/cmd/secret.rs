//! Secrets, which never stand on a command line: everyone on this machine could read them there.

use std::fs;
use std::io::{IsTerminal, Read};
use std::path::Path;

use super::error::Error;

/// In the place of a file: the secret is read from stdin.
pub(super) const STDIN: &str = "-";
/// Holds the password for updates over Wi-Fi.
pub(super) const OTA_PASSWORD_VARIABLE: &str = "WSDM_OTA_PASSWORD";
/// No secret of a board is longer.
const SECRET_MAX_BYTES: u64 = 1_024;

/// The first line of this file, or the value of the variable.
///
/// # Errors
/// The file cannot be read.
pub(super) fn secret(flag: &str, file: Option<&Path>, variable: &str) -> Result<Option<String>, Error> {
    let Some(file) = file else {
        // An empty variable counts as unset.
        return Ok(std::env::var(variable).ok().filter(|value| !value.is_empty()));
    };
    let is_stdin = file.to_str() == Some(STDIN);
    if is_stdin && std::io::stdin().is_terminal() {
        let message = format!("{flag}: stdin is the terminal, which would show what is typed");
        return Err(Error::usage(
            message,
            "leave it out, and it is asked for without being shown",
        ));
    }
    let mut text = String::new();
    let read = match is_stdin {
        true => std::io::stdin().take(SECRET_MAX_BYTES).read_to_string(&mut text),
        false => fs::File::open(file).and_then(|file| file.take(SECRET_MAX_BYTES).read_to_string(&mut text)),
    };
    if let Err(e) = read {
        let message = format!("{flag}: {} cannot be read: {e}", file.display());
        return Err(Error::usage(message, "the file has the secret on its first line"));
    }
    let line = text.split('\n').next().unwrap_or_default();
    Ok(Some(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}
