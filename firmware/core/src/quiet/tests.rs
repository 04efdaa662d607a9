use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::*;
use crate::device::{Channel, Level, Reply};
use crate::{Lovense, LovenseSettings, Motors};

/// The time of the test's runtime, which is paused.
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    async fn sleep_until(&self, at: u64) {
        sleep_until(self.0 + Duration::from_millis(at)).await;
    }
}

struct Silent;

impl Reply for Silent {
    fn send(&mut self, _frame: &[u8]) {}
}

const HUSH: LovenseSettings<'static> = LovenseSettings {
    motors: Motors::One,
    address: "",
    battery: 100,
};

type Motor = Rc<Cell<Level>>;

fn hush(motor: &Motor) -> Lovense<impl FnMut(Channel, Level) + use<>> {
    let motor = motor.clone();
    Lovense::new(&HUSH, move |_: Channel, level| motor.set(level))
}

/// A gateway that has the motor turn, and goes on with it.
async fn play(device: &mut impl Device) {
    loop {
        device.frame(0, b"Vibrate:20;", &mut Silent);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_are_off_before_it_is_quiet_and_obey_again_afterwards() {
    let (quiet, motor, clock) = (Quiet::new(), Motor::default(), Paused(Instant::now()));
    let told = RefCell::new(Vec::new());
    let mut device = hush(&motor);
    let link = async {
        loop {
            let report = |_, report: &Report<'_>| told.borrow_mut().push(report.to_string());
            let ended = quiet
                .obey(&clock, &mut device, report, pending(), async |device| {
                    play(device).await
                })
                .await;
            assert_eq!(ended, None);
        }
    };
    let console = async {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(motor.get(), Level::FULL);
        let pause = timeout(Duration::from_millis(1), quiet.begin()).await.unwrap();
        assert_eq!(motor.get(), Level::OFF);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(motor.get(), Level::OFF, "nobody commands it meanwhile");
        drop(pause);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(motor.get(), Level::FULL);
        // Who does not wait for it any more does not keep it.
        let _ = timeout(Duration::ZERO, quiet.begin()).await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(motor.get(), Level::FULL);
    };
    tokio::select! {
        () = console => {}
        () = link => unreachable!("it has no end"),
    }
    assert_eq!(
        told.borrow()[0],
        "outputs off: the board needs its flash or its radio"
    );
}

/// An update and the console, in both orders.
#[tokio::test(start_paused = true)]
async fn it_stays_quiet_until_the_last_who_asked_is_done() {
    let (quiet, motor, clock) = (Quiet::new(), Motor::default(), Paused(Instant::now()));
    let mut device = hush(&motor);
    let link = async {
        loop {
            let report = |_, _: &Report<'_>| {};
            let control = async |device: &mut _| play(device).await;
            quiet.obey(&clock, &mut device, report, pending(), control).await;
        }
    };
    let asked = async |until_ms: [u64; 2]| {
        let begun = Instant::now();
        let pauses = until_ms.map(async |ms| {
            let pause = quiet.begin().await;
            assert_eq!(motor.get(), Level::OFF);
            sleep_until(begun + Duration::from_millis(ms)).await;
            drop(pause);
        });
        let [first, second] = pauses;
        let look = async {
            sleep(Duration::from_millis(1)).await;
            while begun.elapsed() < Duration::from_millis(995) {
                assert_eq!(motor.get(), Level::OFF, "after {:?}", begun.elapsed());
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::join!(first, second, look);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(motor.get(), Level::FULL);
    };
    let askers = async {
        sleep(Duration::from_millis(100)).await;
        asked([1_000, 300]).await;
        asked([300, 1_000]).await;
    };
    tokio::select! {
        () = askers => {}
        () = link => unreachable!("it has no end"),
    }
}

/// Each in a task of its own, as on a board; with more of them than there is room for.
#[tokio::test(start_paused = true)]
async fn everybody_who_asks_is_woken() {
    let (motor, clock) = (Motor::default(), Paused(Instant::now()));
    let quiet: &'static Quiet = Box::leak(Box::new(Quiet::new()));
    let mut device = hush(&motor);
    let local = tokio::task::LocalSet::new();
    for _ in 0..3 * WAITING {
        local.spawn_local(async {
            for _ in 0..5 {
                drop(
                    timeout(Duration::from_secs(1), quiet.begin())
                        .await
                        .expect("at once"),
                );
                sleep(Duration::from_millis(10)).await;
            }
        });
    }
    let link = async {
        loop {
            let report = |_, _: &Report<'_>| {};
            let control = async |device: &mut _| play(device).await;
            quiet.obey(&clock, &mut device, report, pending(), control).await;
        }
    };
    tokio::select! {
        () = local => {}
        () = link => unreachable!("it has no end"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_goes_takes_the_outputs_with_it() {
    let (quiet, motor, clock) = (Quiet::new(), Motor::default(), Paused(Instant::now()));
    let (gone, is_gone) = oneshot::channel::<()>();
    let told = RefCell::new(Vec::new());
    let mut device = hush(&motor);
    let link = async {
        let report = |now, report: &Report<'_>| told.borrow_mut().push(format!("{now} {report}"));
        let is_gone = async { is_gone.await.unwrap_or(()) };
        quiet
            .obey(&clock, &mut device, report, is_gone, async |device| {
                play(device).await
            })
            .await
    };
    let air = async {
        sleep(Duration::from_millis(90)).await;
        assert_eq!(motor.get(), Level::FULL);
        gone.send(()).unwrap();
    };
    let (ended, ()) = tokio::join!(link, air);
    assert_eq!((ended, motor.get()), (None, Level::OFF));
    assert_eq!(*told.borrow(), ["90 lost: the network is gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_dropped_leaves_nothing_on_and_nobody_waiting() {
    let (quiet, motor, clock) = (Quiet::new(), Motor::default(), Paused(Instant::now()));
    let mut device = hush(&motor);
    let link = quiet.obey(
        &clock,
        &mut device,
        |_, _: &Report<'_>| {},
        pending(),
        async |device| play(device).await,
    );
    assert!(timeout(Duration::from_millis(50), link).await.is_err());
    assert_eq!(motor.get(), Level::OFF);
    let _pause = timeout(Duration::from_millis(1), quiet.begin()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_ends_by_itself_is_handed_on_with_outputs_off() {
    let (quiet, motor, clock) = (Quiet::new(), Motor::default(), Paused(Instant::now()));
    let mut device = hush(&motor);
    let ended = quiet
        .obey(
            &clock,
            &mut device,
            |_, _: &Report<'_>| {},
            pending(),
            async |device| {
                device.frame(0, b"Vibrate:20;", &mut Silent);
                "over"
            },
        )
        .await;
    assert_eq!((ended, motor.get()), (Some("over"), Level::OFF));
}
