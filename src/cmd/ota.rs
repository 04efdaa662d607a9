//! `ota`: another image of the firmware over Wi-Fi onto a board that runs it, and the wait until the board keeps it.

mod connection;
mod error;
mod find;
mod trial;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use wsdm_device_board::ota::{ImageId, PORT, Request, State};

use super::error::Error;
use super::images::Images;
use super::print;
use super::scan::duration;
use super::secret::{OTA_PASSWORD_VARIABLE, secret};
use super::staged::{self, Failure};
use super::{progress, terminal};
use crate::text::printable;
use connection::Connection;
use error::{Failed, OtaError, Stage};
use find::Board;

/// What `ota` takes.
#[derive(Clone, Debug, Args)]
pub struct OtaArgs {
    /// Which board: HOST or HOST:PORT on the network, or the address, identifier or index of a device of a gateway that
    /// runs on this machine
    #[arg(value_name = "BOARD", value_parser = NonEmptyStringValueParser::new())]
    pub board: String,
    /// File with the board's ota_password on its first line, - for stdin; without it, it is asked for [env:
    /// WSDM_OTA_PASSWORD holds the password itself]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Folder of the images, as firmware/build all makes it [default: images next to the program, or
    /// target/firmware/images]
    #[arg(long, value_name = "DIR", env = "WSDM_GATEWAY_IMAGES")]
    pub images: Option<OsString>,
    /// Port on which the board takes updates, if BOARD names none
    #[arg(long, value_name = "PORT", default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Wait this long until the board keeps the image
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
    /// End when the board has the image, without waiting until it has reached its gateway with it
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Control socket of the gateway that knows the board [default: those of all that run]
    #[arg(long, value_name = "PATH", env = "WSDM_GATEWAY_CONTROL")]
    pub control: Option<OsString>,
}

/// Updates a board. Ctrl-C ends it at any time, and the error names the state that the board is left in.
pub(super) async fn ota(args: OtaArgs) -> Result<(), Error> {
    let stage = watch::Sender::new(Stage::Untouched);
    let failed = |error| {
        let stage = *stage.borrow();
        Failed { error, stage }.into()
    };
    staged::run(steps(&args, &stage), OtaError::Interrupted, failed).await
}

async fn steps(args: &OtaArgs, stage: &watch::Sender<Stage>) -> Result<(), Failure<OtaError>> {
    // Everything that can be wrong without a board is reported before one is looked for. An empty variable counts as
    // unset.
    let folder = args.images.as_deref().filter(|folder| !folder.is_empty());
    let images = Images::find(folder.map(Path::new)).map_err(OtaError::from)?;
    let given = secret(
        "--password-file",
        args.password_file.as_deref(),
        OTA_PASSWORD_VARIABLE,
    )?;
    let mut board = Board::find(&args.board, args.port, args.control.as_ref()).await?;
    // Before the board is asked anything, since it does not wait for somebody who types.
    let password = match given {
        Some(password) => password,
        None if terminal::can_ask() => terminal::line(format!("ota_password of {board}: "), true)
            .await
            .map_err(OtaError::Terminal)?,
        None => String::new(),
    };
    if password.is_empty() {
        return Err(OtaError::NoPassword.into());
    }

    let connection = Connection::open_first(board.at).await?;
    let greeting = connection.greeting.clone();
    let app = images.of(&greeting.chip).map_err(OtaError::from)?.app();
    let sha256: [u8; 32] = Sha256::digest(app).into();
    let image = ImageId::of(&sha256);
    let runs_it = greeting.image == Some(image);
    let has = printable(greeting.version.as_bytes());
    let mut is_taken = true;
    if runs_it {
        drop(connection);
        eprintln!("{board}: the {} has this image already", greeting.chip);
    } else if greeting.state == State::OnTrial {
        return Err(OtaError::OnTrial(has).into());
    } else {
        eprintln!(
            "{board}: the {} runs {has}; sending wsdm-device {}",
            greeting.chip, images.version
        );
        let bytes = u32::try_from(app.len()).unwrap_or(u32::MAX);
        let request = Request::new(&password, &greeting.nonce, bytes, sha256);
        is_taken = send(connection, &request, app, stage).await?;
        if is_taken {
            stage.send_replace(Stage::OnTrial);
            eprintln!("the image is on the board and verified; it restarts with it, on trial");
        } else if args.no_wait {
            return Err(OtaError::Unanswered.into());
        }
    }

    let is_kept = runs_it && greeting.state == State::Kept;
    let now = match (is_kept, args.no_wait) {
        (true, _) => Some(greeting.clone()),
        (false, true) => None,
        (false, false) => Some(trial::pass(&mut board, image, is_taken, args.wait, stage).await?),
    };
    let text = if args.json {
        let version = now.as_ref().map(|now| printable(now.version.as_bytes()));
        let line = json!({
            "board": (!board.name.is_empty()).then_some(&board.name),
            "at": board.at,
            "chip": greeting.chip.as_str(),
            "image": image.to_string(),
            "version": version.unwrap_or(images.version),
            "state": if now.is_some() { "kept" } else { "trial" },
            "sent": !runs_it,
        });
        format!("{line}\n")
    } else {
        match &now {
            Some(now) => format!(
                "the board is there: {board}, it runs {} and keeps it\n",
                printable(now.version.as_bytes())
            ),
            None => format!("the board has the image: {board}, on trial until it has reached its gateway\n"),
        }
    };
    Ok(print(&text)?)
}

/// Sends the image. Whether the board has said that it starts with it: its last word may be lost, and what runs on it
/// tells then.
async fn send(
    mut connection: Connection,
    request: &Request,
    app: &[u8],
    stage: &watch::Sender<Stage>,
) -> Result<bool, OtaError> {
    connection.ask(request).await?;
    stage.send_replace(Stage::Sending);
    let bar = progress::bytes(app.len() as u64);
    // With its last byte the board may take it, whatever becomes of this connection.
    let (most, last) = app.split_at(app.len().saturating_sub(1));
    connection.send(most, |bytes| bar.inc(bytes)).await?;
    stage.send_replace(Stage::Sent);
    let taken = match connection.send(last, |_| ()).await {
        Ok(()) => connection.taken().await,
        failed => failed,
    };
    bar.finish_and_clear();
    match taken {
        Ok(()) => Ok(true),
        Err(OtaError::Unanswered | OtaError::Lost(_)) => Ok(false),
        Err(error) => {
            stage.send_replace(Stage::Sending);
            Err(error)
        }
    }
}
