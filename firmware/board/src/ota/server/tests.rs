use std::cell::{Cell, RefCell};
use std::future::pending;
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use embedded_io_adapters::tokio_1::FromTokio;
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex, split,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wsdm_device::{Channel, Device, Level, Lovense, LovenseSettings, Motors, Reply, Report};

use super::*;
use crate::ota::image::tests::image;
use crate::ota::slots::tests::{Flash, start};
use crate::ota::{Start, wire};
use crate::pins::ESP32C3;

const PASSWORD: &str = "long enough";
const NONCE: Nonce = [7; wire::NONCE_BYTES];

/// Tokio's, which these tests have under control.
struct Time(Instant);

impl Clock for Time {
    fn now(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    async fn sleep_until(&self, at: u64) {
        sleep_until(self.0 + Duration::from_millis(at)).await;
    }
}

/// The other end of a connection.
struct Sender {
    lines: BufReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
}

impl Sender {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).await.unwrap();
        line.trim_end().to_string()
    }

    async fn send(&mut self, bytes: &[u8]) {
        // A board that refuses an image does not read it.
        let _ = self.writer.write_all(bytes).await;
    }

    async fn ask(&mut self, password: &str, image: &[u8]) -> String {
        let greeting: Greeting = self.line().await.parse().unwrap();
        let sha256 = Sha256::digest(image).into();
        let request = Request::new(password, &greeting.nonce, image.len() as u32, sha256);
        self.send(std::format!("{request}\n").as_bytes()).await;
        self.line().await
    }
}

/// The board's end of a connection, and the other one.
fn connected() -> (DuplexStream, Sender) {
    let (board, other) = duplex(10_000);
    let (reader, writer) = split(other);
    let lines = BufReader::new(reader);
    (board, Sender { lines, writer })
}

fn hush(motor: &Cell<Level>) -> Lovense<impl FnMut(Channel, Level)> {
    let settings = LovenseSettings {
        motors: Motors::One,
        address: "",
        battery: 100,
    };
    Lovense::new(&settings, |_: Channel, level| motor.set(level))
}

/// Serves one connection; what was said, and whether a restart is due.
async fn serve(flash: &mut Flash, quiet: &Quiet, sender: impl AsyncFnOnce(Sender)) -> (Vec<String>, bool) {
    let (slots, _) = start(flash).unwrap();
    let mut server = Server::new(slots, PASSWORD, &ESP32C3, "0.1.0", true, quiet);
    let (board, other) = connected();
    let sender = sender(other);
    let (clock, said) = (Time(Instant::now()), RefCell::new(Vec::new()));
    let served = async {
        let mut stream = FromTokio::new(board);
        let say = |text: fmt::Arguments<'_>| said.borrow_mut().push(text.to_string());
        let served = server.serve(&mut stream, NONCE, &clock, say).await;
        matches!(served, Served::Restart(_))
    };
    let (is_restarted, ()) = tokio::join!(served, sender);
    (said.into_inner(), is_restarted)
}

fn version(n: u8) -> Vec<u8> {
    image(&ESP32C3, "wsdm", 9_000, n)
}

#[tokio::test(start_paused = true)]
async fn an_image_is_taken_and_the_next_is_not_before_it_has_passed() {
    let mut flash = Flash::with(&version(1));
    let quiet = Quiet::new();
    let (said, is_restarted) = serve(&mut flash, &quiet, async |mut sender| {
        assert_eq!(sender.ask(PASSWORD, &version(2)).await, "go");
        sender.send(&version(2)).await;
        assert_eq!(sender.line().await, "done");
    })
    .await;
    assert!(is_restarted, "{said:?}");
    assert!(said[0].contains("outputs are off, 9000 bytes"), "{said:?}");
    assert_eq!(flash.boot(), 1);
    assert!(flash.slot(1).starts_with(&version(2)));

    let (_, is_restarted) = serve(&mut flash, &quiet, async |mut sender| {
        let answer = sender.ask(PASSWORD, &version(3)).await;
        assert!(
            answer.starts_with("no trial the image that runs is on trial"),
            "{answer}"
        );
    })
    .await;
    assert!(!is_restarted);
    assert_eq!(start(&mut flash).unwrap().1, Start::GoBack);
}

#[tokio::test(start_paused = true)]
async fn the_greeting_alone_changes_nothing_and_says_which_image_runs() {
    let mut flash = Flash::with(&version(1));
    let before = flash.bytes.clone();
    let (said, is_restarted) = serve(&mut flash, &Quiet::new(), async |mut sender| {
        let greeting: Greeting = sender.line().await.parse().unwrap();
        assert_eq!(
            (greeting.chip.as_str(), greeting.version.as_str()),
            ("ESP32-C3", "0.1.0")
        );
        assert_eq!(
            (greeting.image, greeting.state, greeting.nonce),
            (None, State::Kept, NONCE)
        );
    })
    .await;
    assert_eq!((said, is_restarted, flash.bytes), (Vec::new(), false, before));
}

#[tokio::test(start_paused = true)]
async fn nobody_without_the_password_even_stops_the_board() {
    let mut flash = Flash::with(&version(1));
    let before = flash.bytes.clone();
    let (quiet, motor) = (Quiet::new(), Cell::new(Level::OFF));
    let clock = Time(Instant::now());
    let interrupted = Cell::new(0);
    let mut device = hush(&motor);
    let link = async {
        let control = async |device: &mut _| play(device).await;
        let report = |_, _: &Report<'_>| interrupted.set(interrupted.get() + 1);
        quiet.obey(&clock, &mut device, report, pending(), control).await
    };
    let peers = async {
        for (line, wanted) in [
            ("", ""),
            ("update 9000\n", "no request that is no update of version 1"),
            ("GET / HTTP/1.1\r\n", "no request that is no update of version 1"),
            ("\u{0}\u{1}\u{2}\n", "no request that is no update of version 1"),
            (&"x".repeat(300), ""),
        ] {
            let peer = async |mut sender: Sender| {
                sender.line().await;
                sender.send(line.as_bytes()).await;
                assert_eq!(sender.line().await, wanted, "{line:?}");
            };
            let (said, is_restarted) = serve(&mut flash, &quiet, peer).await;
            assert_eq!(
                (said.is_empty(), is_restarted),
                (wanted.is_empty(), false),
                "{line:?}: {said:?}"
            );
        }
        let peer = async |mut sender: Sender| {
            let answer = sender.ask("long enougH", &version(2)).await;
            assert_eq!(answer, "no password the password is wrong");
        };
        let (said, _) = serve(&mut flash, &quiet, peer).await;
        assert_eq!(said, ["update: nothing is changed: the password is wrong"]);
        assert_ne!(motor.get(), Level::OFF);
    };
    tokio::select! {
        _ = link => panic!("it was stopped"),
        () = peers => {}
    }
    assert_eq!((interrupted.get(), flash.bytes), (0, before));
}

/// What its build brought with it, another build does not: neither its network nor its limits.
#[tokio::test(start_paused = true)]
async fn settings_that_are_only_built_in_are_not_lost_by_an_update() {
    let mut flash = Flash::with(&version(1));
    let before = flash.bytes.clone();
    let (slots, _) = start(&mut flash).unwrap();
    let quiet = Quiet::new();
    let mut server = Server::new(slots, PASSWORD, &ESP32C3, "0.1.0", false, &quiet);
    let (board, mut sender) = connected();
    let (clock, mut stream) = (Time(Instant::now()), FromTokio::new(board));
    let image = version(2);
    let (served, answer) = tokio::join!(
        server.serve(&mut stream, NONCE, &clock, |_| {}),
        sender.ask(PASSWORD, &image)
    );
    assert!(
        answer.starts_with("no unsaved ") && answer.ends_with(": save, restart"),
        "{answer}"
    );
    assert!(matches!(served, Served::Ended));
    assert_eq!(flash.bytes, before);
}

/// A byte now and then would keep the outputs off for days.
#[tokio::test(start_paused = true)]
async fn an_image_that_comes_too_slowly_is_given_up() {
    let mut flash = Flash::with(&version(1));
    let begun = Instant::now();
    serve(&mut flash, &Quiet::new(), async |mut sender| {
        assert_eq!(sender.ask(PASSWORD, &version(2)).await, "go");
        let Sender {
            mut lines,
            mut writer,
        } = sender;
        while writer.write_all(&[0xe9]).await.is_ok() {
            sleep(Duration::from_secs(9)).await;
        }
        let mut answer = String::new();
        lines.read_line(&mut answer).await.unwrap();
        assert_eq!(answer, "no slow the image comes too slowly\n");
    })
    .await;
    assert!(begun.elapsed() < Duration::from_millis(IMAGE_WITHIN_MS + 1_000));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_as_announced_is_not_started() {
    let mut flash = Flash::with(&version(1));
    let cut = async |mut sender: Sender| {
        assert_eq!(sender.ask(PASSWORD, &version(2)).await, "go");
        sender.send(&version(2)[..5_000]).await;
    };
    let stalled = async |mut sender: Sender| {
        assert_eq!(sender.ask(PASSWORD, &version(2)).await, "go");
        sender.send(&version(2)[..5_000]).await;
        assert_eq!(sender.line().await, "no slow the image comes too slowly");
    };
    let changed = async |mut sender: Sender| {
        assert_eq!(sender.ask(PASSWORD, &version(2)).await, "go");
        let mut other = version(2);
        other[8_000] ^= 1;
        sender.send(&other).await;
        assert_eq!(
            sender.line().await,
            "no damaged what came is not what was announced"
        );
    };
    let other_chip = async |mut sender: Sender| {
        let other = image(&crate::pins::ESP32C6, "wsdm", 9_000, 2);
        assert_eq!(sender.ask(PASSWORD, &other).await, "go");
        sender.send(&other).await;
        assert_eq!(sender.line().await, "no chip the image is for another chip");
    };
    let large = async |mut sender: Sender| {
        assert_eq!(
            sender.ask(PASSWORD, &[0; 16_385]).await,
            "no room there is room for 16384 bytes"
        );
    };
    let small = async |mut sender: Sender| {
        assert_eq!(
            sender.ask(PASSWORD, &[0xe9; 10]).await,
            "no foreign it is no image"
        );
    };
    let quiet = Quiet::new();
    assert!(!serve(&mut flash, &quiet, cut).await.1);
    assert!(!serve(&mut flash, &quiet, stalled).await.1);
    assert!(!serve(&mut flash, &quiet, changed).await.1);
    assert!(!serve(&mut flash, &quiet, other_chip).await.1);
    assert!(!serve(&mut flash, &quiet, large).await.1);
    assert!(!serve(&mut flash, &quiet, small).await.1);
    assert_eq!(flash.boot(), 0);
    assert_eq!(start(&mut flash).unwrap().1, Start::Kept);
}

struct Silent;

impl Reply for Silent {
    fn send(&mut self, _: &[u8]) {}
}

#[tokio::test(start_paused = true)]
async fn outputs_are_off_before_anything_is_written_and_obey_again_if_it_fails() {
    let mut flash = Flash::with(&version(1));
    let (quiet, motor, clock) = (Quiet::new(), Cell::new(Level::OFF), Time(Instant::now()));
    let mut device = hush(&motor);
    let link = async {
        loop {
            let control = async |device: &mut _| play(device).await;
            let report = |_, _: &Report<'_>| {};
            quiet.obey(&clock, &mut device, report, pending(), control).await;
        }
    };
    let is_on = || motor.get() != Level::OFF;
    let update = serve(&mut flash, &quiet, async |mut sender: Sender| {
        sleep(Duration::from_millis(50)).await;
        assert!(is_on());
        assert_eq!(sender.ask(PASSWORD, &version(2)).await, "go");
        assert!(!is_on());
        sender.send(&version(2)[..8_000]).await;
        sleep(Duration::from_millis(500)).await;
        assert!(!is_on());
        assert_eq!(sender.line().await, "no slow the image comes too slowly");
        sleep(Duration::from_millis(50)).await;
        assert!(is_on());
    });
    tokio::select! {
        () = link => unreachable!("it goes on"),
        _ = update => {}
    }
    // Nor does it obey while an image that is written waits for the restart.
    let (slots, _) = start(&mut flash).unwrap();
    let mut server = Server::new(slots, PASSWORD, &ESP32C3, "0.1.0", true, &quiet);
    let (board, mut sender) = connected();
    let mut stream = FromTokio::new(board);
    let (served, ()) = tokio::join!(server.serve(&mut stream, NONCE, &clock, |_| {}), async {
        sender.ask(PASSWORD, &version(2)).await;
        sender.send(&version(2)).await;
    });
    let control = async |device: &mut _| play(device).await;
    let report = |_, _: &Report<'_>| {};
    let link = quiet.obey(&clock, &mut device, report, pending(), control);
    assert!(timeout(Duration::from_secs(60), link).await.is_err());
    assert!(!is_on() && matches!(served, Served::Restart(_)));
}

/// A gateway that has the motor turn, and goes on with it.
async fn play(device: &mut impl Device) {
    loop {
        device.frame(0, b"Vibrate:20;", &mut Silent);
        sleep(Duration::from_millis(20)).await;
    }
}
