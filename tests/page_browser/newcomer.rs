//! What somebody does who has never seen the page, by mouse alone, on the program as it is installed: nothing is configured,
//! and nothing is started again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use wsdm_gateway::udcf::Udcf;

use super::Scenario;
use super::common::model_board::{Kind, ModelBoard, Verdict};
use super::common::process::{Process, run};
use super::common::pty::Board;
use super::common::system::System;
use super::common::within;

const WIDTHS: [&str; 2] = ["1280", "390"];

/// A board on a pseudo-terminal, at work until it is dropped.
struct Wired {
    model: Arc<ModelBoard>,
    /// How many times it was found at work.
    at_work: watch::Receiver<usize>,
    _task: AbortOnDropHandle<()>,
}

impl Wired {
    fn plug(kind: Kind, port: &Path) -> Self {
        let mut board = Board::plug(port);
        let model = Arc::new(ModelBoard::new(kind, true));
        let (times, at_work) = watch::channel(0);
        let own = model.clone();
        let task = tokio::spawn(async move {
            loop {
                for answer in own.receive(&board.read_patiently().await) {
                    board.say(answer).await;
                }
                if own.rest_since().is_none() {
                    times.send_modify(|times| *times += 1);
                }
            }
        });
        Self {
            model,
            at_work,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// It was set to work since this was called last.
    async fn works(&mut self) {
        within("the board works", self.at_work.changed()).await.unwrap();
    }

    /// A stop came after the last command that sets something, and it is at rest.
    async fn rests(&mut self) {
        let mut changes = self.model.changes();
        within("the board is at rest", async {
            while self.model.rest_since().is_none() || !is_stop(&self.last_obeyed()) {
                // A movement that is over is no message.
                let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
            }
        })
        .await;
        self.at_work.mark_unchanged();
    }

    fn last_obeyed(&self) -> String {
        let mut commands = self.model.commands();
        commands.retain(|command| command.verdict == Verdict::Obeyed);
        commands.pop().map(|command| command.text).unwrap_or_default()
    }
}

fn is_stop(command: &str) -> bool {
    ["Vibrate:0", "DSTOP"].contains(&command)
}

/// The program, for somebody whose home is empty, on this system.
async fn program(home: &Path, system: &System) -> Process {
    let mut command = run(home);
    command.env("WSDM_GATEWAY_PORTS_ROOT", system.root.path());
    Process::spawn(command).await
}

/// Has the system list a pseudo-terminal as a serial port. An entry that names it opens it.
fn list(system: &System, pty: &Path) {
    let node = system.path(pty.strip_prefix("/").unwrap().to_str().unwrap());
    std::fs::create_dir_all(node.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(pty, node).unwrap();
    let name = pty.strip_prefix("/dev").unwrap().to_str().unwrap();
    system.tty("devices/platform/board", &name.replace('/', "!"), "cdc_acm");
}

#[tokio::test]
async fn a_board_that_only_answers_becomes_a_slider_by_mouse() {
    for width in WIDTHS {
        let (home, system) = (TempDir::new().unwrap(), System::new());
        let gateway = program(home.path(), &system).await;
        let link = home.path().join("board");
        let mut board = Wired::plug(Kind::Hush, &link);
        let port = link.canonicalize().unwrap();
        let mut scenario = Scenario::start("wire", gateway.page_address(), &[port.to_str().unwrap(), width]);
        scenario.want("board").await;
        list(&system, &port);
        let mut drove = 0;
        while let Some((kind, _)) = scenario.next(&["drove", "stopped"]).await {
            match kind.as_str() {
                "drove" => {
                    drove += 1;
                    board.works().await;
                }
                _ => board.rests().await,
            }
        }
        assert_eq!(drove, 2);
    }
}

#[tokio::test]
async fn a_file_of_an_older_intiface_becomes_a_moving_axis_by_mouse() {
    for width in WIDTHS {
        let (home, system) = (TempDir::new().unwrap(), System::new());
        let port = home.path().join("board");
        let mut board = Wired::plug(Kind::Stroker, &port);
        let theirs = TempDir::new().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/udcf/v2-serial-tcode.json");
        let text = std::fs::read_to_string(fixture).unwrap();
        let file = theirs.path().join("buttplug-user-device-config.json");
        std::fs::write(&file, text.replace("COM3", port.to_str().unwrap())).unwrap();
        std::fs::write(theirs.path().join("broken.json"), "{\n  \"version\": oops\n}\n").unwrap();

        let gateway = program(home.path(), &system).await;
        let own = home.path().join("config/wsdm-gateway/udcf.json");
        let args = [file.to_str().unwrap(), port.to_str().unwrap(), width];
        let mut scenario = Scenario::start("file", gateway.page_address(), &args);
        let mut drove = false;
        while let Some((kind, _)) = scenario.next(&["unused", "used", "drove", "stopped"]).await {
            match kind.as_str() {
                "unused" => assert!(!own.exists(), "it is only shown"),
                "used" => {
                    let used = Udcf::load(&own).unwrap();
                    assert!(!used.is_migrated(), "it was written as version 5");
                    assert_eq!(used.bridged().len(), 1);
                }
                "drove" => {
                    board.works().await;
                    drove = true;
                }
                _ => board.rests().await,
            }
        }
        assert!(drove);
    }
}
