//! The wait until a board keeps the image that it was sent: it answers on its port again, and says what runs.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use wsdm_device_board::ota::{Greeting, ImageId, State};

use super::connection::Connection;
use super::error::{OtaError, Stage};
use super::find::Board;
use crate::text::printable;

/// How often the board is asked.
const POLL: Duration = Duration::from_millis(500);

/// Waits until this image runs on the board and is kept. `is_taken`: the board has said that it starts with it.
///
/// # Errors
/// The board runs another one, or still this one on trial; or it does not answer.
pub(super) async fn pass(
    board: &mut Board,
    image: ImageId,
    is_taken: bool,
    within: Duration,
    stage: &watch::Sender<Stage>,
) -> Result<Greeting, OtaError> {
    let deadline = Instant::now() + within;
    eprintln!(
        "waiting up to {} s until the board has reached its gateway with it",
        within.as_secs()
    );
    let mut is_on_trial = false;
    let mut problem = None;
    loop {
        match timeout_at(deadline, Connection::open(board.at)).await {
            Ok(Ok(Connection { greeting, .. })) => {
                let version = printable(greeting.version.as_bytes());
                match (greeting.image == Some(image), greeting.state) {
                    (true, State::Kept) => return Ok(greeting),
                    (true, State::OnTrial) => {
                        if !is_on_trial {
                            eprintln!("the board runs {version}, on trial");
                        }
                        is_on_trial = true;
                        problem = None;
                        stage.send_replace(Stage::OnTrial);
                    }
                    (false, _) => {
                        let board = board.to_string();
                        if !is_taken && !is_on_trial {
                            stage.send_replace(Stage::Sending);
                            return Err(OtaError::NotTaken { board, version });
                        }
                        stage.send_replace(Stage::Back);
                        return Err(OtaError::WentBack { board, version });
                    }
                }
            }
            Ok(Err(error)) => {
                problem = Some(error);
                board.find_again().await;
            }
            Err(_) => {}
        }
        if Instant::now() + POLL >= deadline {
            return Err(if is_on_trial && problem.is_none() {
                OtaError::StillOnTrial {
                    board: board.to_string(),
                    within,
                    refusal: board.refusal().await,
                }
            } else {
                OtaError::NotBack {
                    board: board.to_string(),
                    within,
                    problem: problem.map(Box::new),
                }
            });
        }
        sleep(POLL).await;
    }
}
