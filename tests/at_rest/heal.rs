//! A fleet whose trouble ends: what was on its way moves nothing, and what comes then does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use super::app::{Act, TICK};
use super::common::json_client::JsonClient;
use super::common::model_board::{Command, Kind, ModelBoard, Verdict};
use super::common::{DEADLINE, wait_until};
use super::rig::Rig;
use super::trial::{Driven, last};
use super::ways::{Link, Way};

/// How long the trouble lasts.
const TROUBLE: Duration = Duration::from_secs(3);
/// Longer than what is on its way needs to arrive after it.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// What an app sent longer before the end of the trouble moves nothing.
const FRESH: Duration = Duration::from_millis(500);
/// Positions that are told apart.
const POSITIONS: usize = 999;

/// Who is there when the trouble ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hub {
    Lives,
    Dies,
}

/// Control is lost in the middle of a stream, of which nothing arrives after the trouble.
pub async fn brings_nothing_old(way: Way, link: Link, hub: Hub) {
    let mut driven = Driven::start(way, link, "").await;
    driven.stream().await;
    let lost = match (hub, way) {
        (Hub::Dies, _) => {
            let lost = driven.lose(way).await;
            driven
                .rig
                .hub
                .as_ref()
                .expect("a fleet has a hub")
                .signal(Signal::KILL);
            lost
        }
        // What it is sent meanwhile it reads when it goes on, and cannot know how old that is.
        (_, Way::UpstreamFreezes) => {
            driven.app().act(Act::Rest).await;
            driven.lose(way).await
        }
        _ => {
            let lost = driven.lose(way).await;
            driven.app().act(Act::Rest).await;
            lost
        }
    };
    for outcome in driven.observe(lost, way.limit()).await {
        assert!(
            outcome.rest.is_ok(),
            "{}: {:?}",
            outcome.kind.name(),
            outcome.rest
        );
    }
    tokio::time::sleep_until((lost + TROUBLE).into()).await;
    driven.rig.mend(way);
    let mended = Instant::now();
    tokio::time::sleep(AFTERWARDS).await;
    for board in &driven.boards {
        let is_at_rest = board.rest_since().is_some_and(|since| since < mended);
        assert!(
            is_at_rest,
            "{}: {}; after {way} it got{}\n{}",
            board.kind.name(),
            board.running(),
            last(board, mended),
            driven.rig.logs()
        );
    }
    if hub == Hub::Lives {
        drives_again(&driven).await;
    }
}

/// The next commands count as soon as the hub has its devices again.
async fn drives_again(driven: &Driven) {
    let start = Instant::now();
    while !driven.boards.iter().all(|board| board.is_running_all()) {
        assert!(
            start.elapsed() < DEADLINE,
            "they do not run again:{}\n{}",
            driven
                .boards
                .iter()
                .map(|board| format!(
                    "\n{}: {}; it got{}",
                    board.kind.name(),
                    board.running(),
                    last(board, start)
                ))
                .collect::<String>(),
            driven.rig.logs()
        );
        driven.app().act(Act::Drive).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The app goes on commanding all the time. No board obeys what is too old, and before long it obeys again.
pub async fn obeys_only_what_is_new(way: Way) {
    let boards = [Arc::new(ModelBoard::new(Kind::Stroker, true))];
    let mut rig = Rig::start(way, Link::Fleet, "", &boards, None).await;
    let [board] = &boards;
    let hub = rig.hub.as_ref().expect("a fleet has a hub");
    let app = Numbered::start(&hub.clients).await;
    wait_until("the commands arrive", || board.obeyed() > 20).await;
    let lost = Instant::now();
    rig.fleet
        .as_mut()
        .expect("a fleet")
        .lose(way, std::iter::empty())
        .await;
    tokio::time::sleep_until((lost + TROUBLE).into()).await;
    assert!(
        board.rest_since().is_some(),
        "it runs on; it got{}",
        last(board, lost)
    );
    rig.mend(way);
    let mended = Instant::now();
    let obeyed = || board.commands().into_iter().filter(move |c| c.at >= mended);
    wait_until("commands arrive again", || {
        obeyed().filter_map(|c| app.age(&c)).count() > 50
    })
    .await;
    let ages: Vec<(Duration, Duration)> = obeyed()
        .filter_map(|c| Some((c.at - mended, app.age(&c)?)))
        .collect();
    let first = ages.first().map(|(at, _)| at.as_millis());
    let oldest = ages.iter().map(|(_, age)| *age).max().unwrap_or_default();
    println!(
        "{way}: it obeys again {first:?} ms after the trouble; the oldest command was {} ms old",
        oldest.as_millis()
    );
    assert!(oldest <= FRESH, "{way}: (when, age) {ages:?}\n{}", rig.logs());
}

/// An app that moves one axis, each time to another position, so that each command that arrives tells when it was sent.
struct Numbered {
    sent: Arc<Mutex<Vec<Option<Instant>>>>,
    _task: AbortOnDropHandle<()>,
}

impl Numbered {
    async fn start(url: &str) -> Self {
        let mut client = JsonClient::connect(url, 4).await;
        let index = client.first_device().await;
        let sent = Arc::new(Mutex::new(vec![None; POSITIONS]));
        let (noted, mut ws) = (sent.clone(), client.into_inner());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            for n in 0.. {
                let at_tick = async {
                    loop {
                        tokio::select! {
                            _ = ticks.tick() => return true,
                            message = ws.next() => if !matches!(message, Some(Ok(_))) { return false },
                        }
                    }
                };
                if !at_tick.await {
                    return;
                }
                let position = n % POSITIONS;
                noted.lock().unwrap_or_else(PoisonError::into_inner)[position] = Some(Instant::now());
                let batch = Value::Array(vec![command(n, index, position)]);
                if ws.send(Message::text(batch.to_string())).await.is_err() {
                    return;
                }
            }
        });
        Self {
            sent,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// How old a command was when it arrived; `None` if it is none of the app's.
    fn age(&self, command: &Command) -> Option<Duration> {
        let digits = command.text.strip_prefix("L0")?.split('I').next()?;
        let position: usize = digits
            .parse()
            .ok()
            .filter(|_| command.verdict == Verdict::Obeyed)?;
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner)[position]?;
        Some(command.at.saturating_duration_since(sent))
    }
}

fn command(n: usize, index: u64, position: usize) -> Value {
    json!({"OutputCmd": {
        "Id": n + 1_000,
        "DeviceIndex": index,
        "FeatureIndex": 0,
        "Command": {"HwPositionWithDuration": {"Value": position, "Duration": 20_000}},
    }})
}
