use std::cell::RefCell;

use tokio::io::DuplexStream;
use tokio::time::sleep;

use super::*;

const PATIENCE: Duration = Duration::from_secs(15);
const HELLO: &[u8] = b"{\"identifier\":\"a\",\"version\":0}\n";

/// What came of asking, what was reported meanwhile, and what stays to be read.
struct Asked {
    result: Result<Introduction, HelloError>,
    reports: Vec<String>,
    read: BytesMut,
    took: Duration,
}

impl Asked {
    fn hello(self) -> Hello {
        match self.result.unwrap().identity {
            Identity::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    fn recognised(self) -> Recognised {
        assert_eq!(self.read, "", "no late answer becomes a frame");
        match self.result.unwrap().identity {
            Identity::Recognised(recognised) => recognised,
            other => panic!("{other:?}"),
        }
    }
}

async fn ask(
    mut port: DuplexStream,
    patience: Option<Duration>,
    fallback: &str,
    reads_messages: bool,
) -> Asked {
    let reports = RefCell::new(Vec::new());
    let options = IdentifyOptions {
        settle: Duration::ZERO,
        patience,
        fallback: &Address::new(fallback),
        reads_messages,
        on_close: None,
    };
    let mut read = BytesMut::new();
    let start = Instant::now();
    let report = |e: &HelloError| reports.borrow_mut().push(e.to_string());
    let result = identify(&mut port, &mut read, options, &mut Answers::default(), report).await;
    Asked {
        result,
        reports: reports.into_inner(),
        read,
        took: start.elapsed(),
    }
}

/// A board that answers what it is asked, one question after the other.
#[derive(Clone, Copy)]
struct Script {
    boot: Duration,
    noise: &'static str,
    delay: Duration,
    /// In the middle of each line.
    pause: Duration,
    echoes: bool,
    end: &'static str,
    answers: &'static [(&'static str, &'static [&'static str])],
}

const SR6: &[(&str, &[&str])] = &[
    ("D0", &["SR6_Release3.ino"]),
    ("D1", &["TCode v0.3"]),
    (
        "D2",
        &[
            "L0 0 9999 Up",
            "L1 0 9999 Forward",
            "L2 0 9999 Left",
            "R0 0 9999 Twist",
            "R1 2000 8000 Roll",
            "R2 2000 8000 Pitch",
        ],
    ),
];

const BOARD: Script = Script {
    boot: Duration::ZERO,
    noise: "",
    delay: Duration::from_millis(5),
    pause: Duration::from_millis(20),
    echoes: false,
    end: "\r\n",
    answers: SR6,
};

impl Script {
    /// Plays the board until nobody asks any more; all that it was sent.
    async fn play(self, mut wire: DuplexStream) -> String {
        sleep(self.boot).await;
        // What it was sent before is lost, as in a chip that was held in reset.
        let mut lost = [0; 4096];
        if !self.boot.is_zero() {
            let _ = timeout(Duration::ZERO, wire.read(&mut lost)).await;
        }
        let _ = wire.write_all(self.noise.as_bytes()).await;
        let (mut sent, mut line) = (String::new(), String::new());
        while let Ok(byte) = wire.read_u8().await {
            sent.push(byte.into());
            line.push(byte.into());
            if !matches!(byte, b'\n' | b';') {
                continue;
            }
            if self.echoes {
                let _ = wire.write_all(line.as_bytes()).await;
            }
            let asked = line.trim().trim_end_matches(';').to_owned();
            line.clear();
            let answers = self.answers.iter().find(|(question, _)| *question == asked);
            let Some((_, answers)) = answers else { continue };
            sleep(self.delay).await;
            for answer in *answers {
                // In several reads, one of them in the middle of a number.
                let whole = format!("{answer}{}", self.end);
                let (first, rest) = whole.split_at(whole.len().min(7));
                let _ = wire.write_all(first.as_bytes()).await;
                sleep(self.pause).await;
                let _ = wire.write_all(rest.as_bytes()).await;
            }
        }
        sent
    }

    async fn ask(self) -> (Asked, String) {
        let (gateway, board) = tokio::io::duplex(4096);
        tokio::join!(ask(gateway, Some(PATIENCE), "port", false), self.play(board))
    }
}

/// Nothing that was sent moves anything in any language.
fn moves_nothing(sent: &str) {
    let known = [
        "",
        "D0",
        "D1",
        "D2",
        ";",
        "DeviceType;",
        "DSTOP",
        "V00 V10 V20 V30 V40 V50 V60 V70 V80 V90",
        "Vibrate:0;",
        "Rotate:0;",
    ];
    for command in sent.split('\n').flat_map(|line| line.split_inclusive(';')) {
        assert!(known.contains(&command), "{command:?} in {sent:?}");
    }
}

fn channels(board: &Recognised) -> Vec<&str> {
    board.axes.iter().map(|axis| axis.channel.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_tcode_board_is_recognised_with_every_axis_however_it_answers() {
    for (what, script) in [
        ("promptly", BOARD),
        (
            "slowly",
            Script {
                delay: Duration::from_millis(1_500),
                ..BOARD
            },
        ),
        (
            "with long pauses, in numbers too",
            Script {
                pause: Duration::from_millis(400),
                ..BOARD
            },
        ),
        (
            "echoing",
            Script {
                echoes: true,
                ..BOARD
            },
        ),
        ("with CR alone", Script { end: "\r", ..BOARD }),
        (
            "after it started, with noise",
            Script {
                boot: Duration::from_millis(2_950),
                noise: "ets Jun  8 2016\r\nWiFi on\r\n\x01",
                ..BOARD
            },
        ),
        (
            "after it was reported",
            Script {
                boot: Duration::from_secs(7),
                ..BOARD
            },
        ),
    ] {
        let (asked, sent) = script.ask().await;
        moves_nothing(&sent);
        println!("{what}: {:?}", asked.took);
        assert!(asked.took < PATIENCE, "{what}: {:?}", asked.took);
        let board = asked.recognised();
        assert_eq!(board.name.as_deref(), Some("SR6_Release3.ino"), "{what}");
        assert_eq!(board.version.as_deref(), Some("TCode v0.3"), "{what}");
        assert_eq!(channels(&board), ["L0", "L1", "L2", "R0", "R1", "R2"], "{what}");
        assert!(
            board.axes[..4].iter().all(|axis| axis.range == (0..=9_999)),
            "{what}: {board}"
        );
        assert_eq!(
            (board.axes[4].name.as_str(), &board.axes[4].range),
            ("Roll", &(2_000..=8_000))
        );
        assert!(
            sent.ends_with('\n'),
            "{what}: nothing is left in the board's buffer: {sent:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_tcode_board_is_recognised_without_axes() {
    let answers: &[(&str, &[&str])] = &[
        ("D0", &["OSR2_v2.ino"]),
        ("D1", &["TCode v0.2"]),
        ("D2", &["ERROR: unknown command"]),
    ];
    for answers in [answers, &answers[..2]] {
        let (asked, sent) = Script { answers, ..BOARD }.ask().await;
        moves_nothing(&sent);
        assert!(asked.took < Duration::from_secs(5), "{:?}", asked.took);
        let board = asked.recognised();
        assert_eq!(board.name.as_deref(), Some("OSR2_v2.ino"));
        assert!(board.axes.is_empty(), "{board}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lovense_board_is_recognised_after_it_was_asked_for_tcode() {
    let answers: &[(&str, &[&str])] = &[("D0\nD1\nD2", &["ERR;"]), ("DeviceType", &["Z:11:AABBCCDDEEFF;"])];
    for (end, delay) in [("", 5), ("\r\n", 5), ("", 1_500)] {
        let script = Script {
            answers,
            end,
            delay: Duration::from_millis(delay),
            ..BOARD
        };
        let (asked, sent) = script.ask().await;
        moves_nothing(&sent);
        let board = asked.recognised();
        assert_eq!(
            (board.protocol, board.name.as_deref()),
            ("lovense", Some("Z")),
            "{delay}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_board_is_asked_until_it_answers() {
    let (gateway, mut board) = tokio::io::duplex(256);
    let board = async {
        board.write_all(b"ets Jun 8 2016\r\nload:0x3fff").await.unwrap();
        let mut asked = [0; 1];
        board.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"\n");
        board.write_all(b"\n").await.unwrap();
        board.write_all(&[HELLO, b"OK;"].concat()).await.unwrap();
        board
    };
    let (asked, _board) = tokio::join!(ask(gateway, Some(PATIENCE), "port", false), board);
    assert_eq!(asked.reports, [""; 0]);
    assert_eq!(asked.read, "OK;", "what follows is the first frame");
    assert_eq!(asked.hello().handshake.identifier.as_str(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_late_hello_line_leaves_no_question_and_no_answer_behind() {
    let (gateway, mut board) = tokio::io::duplex(4096);
    let script = async {
        sleep(Duration::from_millis(3_200)).await;
        board.write_all(&[HELLO, b"ERR;"].concat()).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        board.write_all(b"OK;").await.unwrap();
        board
    };
    let (asked, mut board) = tokio::join!(ask(gateway, Some(PATIENCE), "port", false), script);
    assert_eq!(asked.read, "");
    asked.hello();
    let mut sent = String::new();
    board.read_to_string(&mut sent).await.unwrap();
    assert!(sent.contains("D1\n") && sent.ends_with(";\n"), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_board_that_says_something_else_is_reported_once_and_given_up_when_patience_ends() {
    let (gateway, mut board) = tokio::io::duplex(4096);
    board.write_all(b"hello world\r\n").await.unwrap();
    let asked = ask(gateway, Some(PATIENCE), "port", false).await;
    let error = asked.result.unwrap_err().to_string();
    for part in [
        "no hello line within 5 s",
        "TCode (D0, D1, D2)",
        "Lovense (DeviceType;)",
        "hello world",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert_eq!(asked.reports, [error]);
    assert_eq!(asked.took, PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_board_that_is_silent_for_a_minute_is_still_asked() {
    let (gateway, mut board) = tokio::io::duplex(4096);
    let script = async {
        let start = Instant::now();
        let (mut sent, mut late) = (String::new(), 0);
        while start.elapsed() < Duration::from_secs(60) {
            let byte = board.read_u8().await.unwrap();
            sent.push(byte.into());
            late += usize::from(sent.ends_with("D2") && start.elapsed() > HELLO_TIMEOUT);
        }
        board.write_all(HELLO).await.unwrap();
        (sent, late, board)
    };
    let (asked, (sent, late, _board)) = tokio::join!(ask(gateway, None, "port", false), script);
    assert_eq!(asked.reports.len(), 1, "{:?}", asked.reports);
    assert_eq!(asked.hello().handshake.address.as_str(), "port");
    // The minute may be over in the middle of a line.
    moves_nothing(sent.rsplit_once('\n').unwrap().0);
    assert!((4..=7).contains(&late), "quietly: {late} times in {sent:?}");
}

/// A port may have a name that is too long for an address, and a board may name one.
#[tokio::test(start_paused = true)]
async fn a_board_that_names_its_address_needs_no_other() {
    let (gateway, mut board) = tokio::io::duplex(4096);
    let long = "x".repeat(300);
    board.write_all(HELLO).await.unwrap();
    let script = async {
        sleep(Duration::from_secs(7)).await;
        let named = b"{\"identifier\":\"a\",\"address\":\"b\",\"version\":0}\n";
        board.write_all(named).await.unwrap();
        board
    };
    let (asked, _board) = tokio::join!(ask(gateway, None, &long, false), script);
    assert!(
        matches!(&asked.reports[..], [why] if why.contains("address")),
        "{:?}",
        asked.reports
    );
    assert_eq!(asked.hello().handshake.address.as_str(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_hello_line_with_a_fault_is_reported_with_what_is_wrong() {
    for (line, wanted) in [
        ("{\"identifier\":\"a\"}\n", "has no \"version\""),
        (
            "{\"identifier\":\"a\",\"version\":\"0\"}\r\n",
            "\"version\" is a string",
        ),
        (
            "{\"identifier\":\"a\",\"address\":7,\"version\":0}\n",
            "\"address\" is a number",
        ),
        ("{'identifier':'a','version':0}\n", "single quotes"),
        ("{\"identifier\":\"a\",\"version\":0}\0\n", "NUL"),
        ("{\"identifier\":\"a\",\"version\":0", "EOF"),
    ] {
        let (gateway, mut board) = tokio::io::duplex(4096);
        board.write_all(b"boot\r\n").await.unwrap();
        board.write_all(line.as_bytes()).await.unwrap();
        let asked = ask(gateway, Some(PATIENCE), "port", false).await;
        let [report] = &asked.reports[..] else {
            panic!("{:?}", asked.reports)
        };
        assert!(report.contains("its hello line is not understood"), "{report}");
        assert!(
            report.contains(wanted) && report.contains("identifier"),
            "{wanted}: {report}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_line_without_its_newline_is_taken_and_that_is_named() {
    for (end, reads_messages, fault) in [
        ("", false, Some(HelloFault::NoNewline)),
        ("\r", false, Some(HelloFault::ReturnOnly)),
        ("\r{", false, Some(HelloFault::ReturnOnly)),
        ("", true, None),
        ("\r\n", false, None),
    ] {
        let (gateway, mut board) = tokio::io::duplex(4096);
        let line = String::from_utf8_lossy(HELLO).trim().to_owned() + end;
        board.write_all(format!("boot{line}").as_bytes()).await.unwrap();
        let asked = ask(gateway, Some(PATIENCE), "port", reads_messages).await;
        assert_eq!(asked.reports, [""; 0], "{end:?}");
        assert!(asked.took < Duration::from_secs(1), "{end:?}: {:?}", asked.took);
        assert_eq!(asked.result.as_ref().unwrap().fault, fault, "{end:?}");
        assert_eq!(asked.hello().handshake.address.as_str(), "port");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_line_behind_the_stop_leaves_nothing_of_it_behind() {
    let (gateway, mut board) = tokio::io::duplex(4096);
    let script = async {
        let mut sent = String::new();
        while !sent.ends_with("Rotate:0;\n") {
            sent.push(board.read_u8().await.unwrap().into());
        }
        board
            .write_all(&[b"ERR;OK;", HELLO, b"ERR;"].concat())
            .await
            .unwrap();
        (sent, board)
    };
    let (asked, (mut sent, mut board)) = tokio::join!(ask(gateway, Some(PATIENCE), "port", false), script);
    assert_eq!(asked.read, "", "what it made of the stop is no frame");
    asked.hello();
    board.read_to_string(&mut sent).await.unwrap();
    moves_nothing(&sent);
    assert!(sent.ends_with(";\n"), "{sent:?}");
}

/// A board may be in its boot loader when it is stopped first. It may be slow besides, so that it takes seconds to say
/// all that it is asked.
#[tokio::test(start_paused = true)]
async fn a_board_is_stopped_again_once_it_answers_and_in_its_own_language_alone() {
    let lovense: &[(&str, &[&str])] = &[("DeviceType", &["Z:11:AABBCCDDEEFF;"])];
    for (answers, stop, other, behind) in [
        (SR6, "DSTOP", "Rotate:0;", "D0"),
        (lovense, "Rotate:0;", "DSTOP", ""),
    ] {
        let boot = Duration::from_millis(1_000);
        let script = Script {
            answers,
            boot,
            end: "\r\n",
            ..BOARD
        };
        let (asked, sent) = script.ask().await;
        asked.recognised();
        let at = sent.find(stop).unwrap_or_else(|| panic!("{stop} in {sent:?}"));
        assert!(!sent.contains(other), "{sent:?}");
        assert!(sent[at..].contains(behind), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_board_whose_entry_says_what_stops_it_gets_that_and_no_other_stop() {
    let (mut gateway, mut board) = tokio::io::duplex(4096);
    let options = IdentifyOptions {
        settle: Duration::ZERO,
        patience: Some(PATIENCE),
        fallback: &Address::new("port"),
        reads_messages: false,
        on_close: Some(b"HALT"),
    };
    let (mut read, mut answers) = (BytesMut::new(), Answers::default());
    let asked = identify(&mut gateway, &mut read, options, &mut answers, |_| {}).await;
    asked.unwrap_err();
    drop(gateway);
    let mut sent = String::new();
    board.read_to_string(&mut sent).await.unwrap();
    assert!(sent.starts_with("HALT\n"), "{sent:?}");
    assert!(!sent.contains("DSTOP") && !sent.contains("Vibrate"), "{sent:?}");
}

/// The gateway may stop while it asks: then the board gets what stops it in these languages.
#[tokio::test(start_paused = true)]
async fn it_is_known_which_languages_are_still_possible_when_asking_is_broken_off() {
    let names = |answers: &Answers| -> Vec<_> { answers.languages().iter().map(|l| l.name()).collect() };
    for (script, after, wanted) in [
        (BOARD, 1_000, &["tcode", "lovense"][..]),
        // It is slow, and is still being asked for the rest.
        (
            Script {
                delay: Duration::from_millis(1_500),
                ..BOARD
            },
            6_000,
            &["tcode"],
        ),
    ] {
        let (mut gateway, board) = tokio::io::duplex(4096);
        let board = tokio::spawn(script.play(board));
        let options = IdentifyOptions {
            settle: Duration::ZERO,
            patience: None,
            fallback: &Address::new("port"),
            reads_messages: false,
            on_close: None,
        };
        let (mut read, mut answers) = (BytesMut::new(), Answers::default());
        let asked = identify(&mut gateway, &mut read, options, &mut answers, |_| {});
        timeout(Duration::from_millis(after), asked).await.unwrap_err();
        assert_eq!(names(&answers), wanted);
        board.abort();
    }
}

/// The first stop was lost in its boot loader, and it answers no question that ends in a newline.
#[tokio::test(start_paused = true)]
async fn a_stop_that_follows_a_question_is_a_line_of_its_own() {
    let (gateway, mut board) = tokio::io::duplex(4096);
    ask(gateway, Some(PATIENCE * 3), "port", false)
        .await
        .result
        .unwrap_err();
    let mut sent = String::new();
    board.read_to_string(&mut sent).await.unwrap();
    let alone = sent.lines().filter(|line| *line == "DSTOP").count();
    assert_eq!(sent.matches("DSTOP").count(), alone, "{sent:?}");
    assert!(alone >= 3, "{sent:?}");
}
