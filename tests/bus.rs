//! The connection to a broker, against a real mosquitto.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::future::poll_fn;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::mosquitto::{Mosquitto, Options};
use common::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use wsdm_gateway::advice::Advice;
use wsdm_gateway::net::broker::BrokerUrl;
use wsdm_gateway::net::bus::{
    Bus, BusError, BusEvent, BusSettings, Events, Message, NotTaken, Qos, Refusal, bus,
};
use wsdm_gateway::net::tls::Tls;

/// Longer than any test: only what a test is about ends a connection.
const LONG: Duration = Duration::from_secs(60);

fn settings(url: &str, client_id: &str) -> BusSettings {
    BusSettings {
        broker: BrokerUrl::parse(url).unwrap(),
        tls: Tls::system(),
        user: None,
        password: None,
        client_id: client_id.to_owned(),
        keepalive: LONG,
    }
}

fn message(topic: &str, payload: impl Into<Bytes>, qos: Qos, retain: bool) -> Message {
    Message {
        topic: topic.to_owned(),
        payload: payload.into(),
        qos,
        retain,
    }
}

fn frame(topic: &str, payload: impl Into<Bytes>) -> Message {
    message(topic, payload, Qos::AtMostOnce, false)
}

fn event(topic: &str, payload: impl Into<Bytes>) -> Message {
    message(topic, payload, Qos::AtLeastOnce, false)
}

fn state(topic: &str, payload: impl Into<Bytes>) -> Message {
    message(topic, payload, Qos::AtLeastOnce, true)
}

/// A client that has subscribed to these topics, and to its own [`mark`].
async fn connect(settings: BusSettings, topics: &[&str]) -> (Bus, Events) {
    connect_with_will(settings, None, topics).await
}

async fn connect_with_will(settings: BusSettings, will: Option<Message>, topics: &[&str]) -> (Bus, Events) {
    let mark = mark(&settings.client_id);
    let topics = topics.iter().map(|&topic| (topic.to_owned(), Qos::AtLeastOnce));
    let topics = topics.chain([(mark.clone(), Qos::AtLeastOnce)]).collect();
    let (bus, mut events) = bus(settings, will, topics);
    connected(&mut events).await;
    // Subscriptions are made when this is back.
    assert_eq!(all_until_mark(&bus, &mut events, &mark).await, []);
    (bus, events)
}

fn mark(client_id: &str) -> String {
    format!("mark/{client_id}")
}

async fn connected(events: &mut Events) {
    within("a connection", async {
        while !matches!(events.next().await, BusEvent::Connected) {}
    })
    .await;
}

/// The next message; anything else fails the test.
async fn next_message(events: &mut Events) -> Message {
    match within("a message", events.next()).await {
        BusEvent::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

async fn lost(events: &mut Events) -> (BusError, bool) {
    match within("the end of the connection", events.next()).await {
        BusEvent::Lost { error, news } => (error, news),
        other => panic!("{other:?}"),
    }
}

/// All that comes before a message that this client sends to itself: whatever it sent before has reached the broker.
async fn all_until_mark(bus: &Bus, events: &mut Events, mark: &str) -> Vec<Message> {
    bus.try_publish(event(mark, "")).unwrap();
    let mut before = Vec::new();
    loop {
        let message = next_message(events).await;
        if message.topic == mark {
            return before;
        }
        before.push(message);
    }
}

/// Awaits something while a connection is driven on which nothing may happen.
async fn drive<T>(events: &mut Events, what: impl Future<Output = T>) -> T {
    tokio::select! {
        done = what => done,
        event = events.next() => panic!("{event:?}"),
    }
}

/// Publishes as soon as it fits.
async fn publish(bus: &Bus, message: Message) {
    while bus.try_publish(message.clone()) == Err(NotTaken::Full) {
        poll_fn(|cx| bus.poll_room(cx)).await;
    }
}

fn texts(messages: &[Message]) -> Vec<String> {
    let text = |m: &Message| format!("{} {}", m.topic, String::from_utf8_lossy(&m.payload));
    messages.iter().map(text).collect()
}

#[tokio::test]
async fn messages_pass_in_order_with_their_marks() {
    let broker = Mosquitto::start();
    let (bus, mut events) = connect(settings(&broker.url(), "one"), &["a/+"]).await;
    let sent = [
        state("a/kept", "1"),
        event("a/event", "2"),
        frame("a/x", Bytes::from_static(&[0xff, 0, 0xfe])),
        frame("a/empty", ""),
    ];
    for message in &sent {
        bus.try_publish(message.clone()).unwrap();
    }
    bus.try_publish(frame("not/subscribed", "3")).unwrap();
    let got = all_until_mark(&bus, &mut events, "mark/one").await;
    // To whoever was subscribed already it is news.
    assert_eq!(got[0], event("a/kept", "1"));
    assert_eq!(got[1..], sent[1..]);

    let (_bus, mut events) = bus_of(&broker, "two", &["a/+"]);
    connected(&mut events).await;
    assert_eq!(
        next_message(&mut events).await,
        state("a/kept", "1"),
        "it says that it was kept"
    );
}

/// A client that is not driven yet.
fn bus_of(broker: &Mosquitto, client_id: &str, topics: &[&str]) -> (Bus, Events) {
    let topics = topics.iter().map(|&topic| (topic.to_owned(), Qos::AtLeastOnce));
    bus(settings(&broker.url(), client_id), None, topics.collect())
}

#[tokio::test]
async fn without_a_connection_nothing_is_taken_and_nobody_waits() {
    let mut broker = Mosquitto::start();
    let (bus, mut events) = bus_of(&broker, "one", &[]);
    let away = |bus: &Bus| {
        for message in [frame("a", "1"), state("a", "1")] {
            assert_eq!(bus.try_publish(message), Err(NotTaken::Away));
        }
        assert!(!bus.is_connected());
    };
    away(&bus);
    within("no waiting", poll_fn(|cx| bus.poll_room(cx))).await;
    connected(&mut events).await;
    assert!(bus.is_connected());
    bus.try_publish(state("a", "2")).unwrap();

    broker.kill();
    let (error, news) = lost(&mut events).await;
    assert!(
        matches!(error, BusError::Closed(_) | BusError::Broke { .. }),
        "{error:?}"
    );
    assert!(news);
    away(&bus);
    drop(events);
    away(&bus);
}

#[tokio::test]
async fn nothing_of_a_connection_is_sent_to_the_next_one() {
    let mut broker = Mosquitto::start();
    let (bus, mut events) = connect(settings(&broker.url(), "one"), &[]).await;
    broker.freeze();
    // Some of it is with the system, some waits.
    for number in 0..200 {
        bus.try_publish(state(&format!("old/{number}"), vec![b'x'; 10_000]))
            .unwrap();
    }
    bus.try_publish(frame("old/frame", "x")).unwrap();
    drive(&mut events, async { tokio::task::yield_now().await }).await;
    broker.kill();
    assert!(!broker.log().contains("old/199"));
    let _ = lost(&mut events).await;
    broker.restart();
    connected(&mut events).await;
    bus.try_publish(state("new", "")).unwrap();
    let (watcher, mut watching) = bus_of(&broker, "watcher", &["#"]);
    tokio::spawn(async move { while !matches!(events.next().await, BusEvent::Lost { .. }) {} });
    connected(&mut watching).await;
    let seen = all_until_mark(&watcher, &mut watching, "mark").await;
    let topics: Vec<_> = seen.iter().map(|message| &message.topic).collect();
    assert!(topics.iter().all(|topic| *topic == "new"), "{topics:?}");
}

#[tokio::test]
async fn a_broker_that_takes_nothing_fills_the_queue_and_blocks_nobody() {
    let broker = Mosquitto::start();
    let (bus, mut events) = connect(settings(&broker.url(), "one"), &["f", "s/#"]).await;
    broker.freeze();
    let taken = fill(&bus, &mut events).await;
    assert_eq!(bus.try_publish(frame("f", "")), Err(NotTaken::Full));
    // What must not be lost waits, the newest of a topic.
    for text in ["1", "2", "3"] {
        bus.try_publish(state("s/a", text)).unwrap();
        bus.try_publish(state("s/b", text)).unwrap();
    }
    let waiting = bus.clone();
    let room = tokio::spawn(async move { poll_fn(|cx| waiting.poll_room(cx)).await });
    tokio::task::yield_now().await;
    broker.thaw();
    let mut got = all_until_mark(&bus, &mut events, "mark/one").await;
    let states = got.split_off(taken as usize);
    assert_eq!(texts(&states), ["s/a 3", "s/b 3"]);
    for (number, message) in (0_u32..).zip(&got) {
        assert_eq!(message.payload, numbered(number));
    }
    within("whoever waits for room is woken", room).await.unwrap();
    // What this system holds back is little, what the broker's does is not for us to say.
    assert!(taken < 200, "{taken} of 4,000 bytes");
}

#[tokio::test]
async fn what_the_system_holds_back_of_a_connection_is_dropped_with_it() {
    let broker = Mosquitto::start();
    let (watcher, mut watching) = connect(settings(&broker.url(), "watcher"), &["f"]).await;
    let (bus, mut events) = connect(settings(&broker.url(), "one"), &[]).await;
    broker.freeze();
    let taken = fill(&bus, &mut events).await;
    bus.probe(event("probe", ""), Duration::from_millis(100));
    let _ = lost(&mut events).await;
    broker.thaw();
    connected(&mut events).await;
    let arrived = all_until_mark(&watcher, &mut watching, "mark/watcher")
        .await
        .len();
    // The queue, and what was to be written in one go.
    assert!(arrived < taken as usize - 16 - 8, "{arrived} of {taken} arrived");
}

/// Publishes numbered frames until the queue is full for good, and returns how many were taken.
async fn fill(bus: &Bus, events: &mut Events) -> u32 {
    let mut taken = 0;
    let full = async {
        // A second without room is full for good.
        while timeout(Duration::from_secs(1), poll_fn(|cx| bus.poll_room(cx)))
            .await
            .is_ok()
        {
            while bus.try_publish(frame("f", numbered(taken))).is_ok() {
                taken += 1;
            }
            tokio::task::yield_now().await;
        }
    };
    drive(events, full).await;
    taken
}

/// A large payload that begins with its number.
fn numbered(number: u32) -> Bytes {
    let mut payload = vec![0; 4_000];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload.into()
}

#[tokio::test]
async fn a_thousand_states_at_once_all_arrive_and_frames_pass_them() {
    let broker = Mosquitto::start();
    let (bus, mut events) = connect(settings(&broker.url(), "one"), &["births/#", "f"]).await;
    for number in 0..1_000 {
        bus.try_publish(state(&format!("births/{number}"), "x")).unwrap();
    }
    bus.try_publish(frame("f", "x")).unwrap();
    let got = all_until_mark(&bus, &mut events, "mark/one").await;
    assert_eq!(got.len(), 1_001);
    let births = got.iter().filter(|m| m.topic != "f").enumerate();
    for (number, message) in births {
        assert_eq!(message.topic, format!("births/{number}"));
    }
    assert_ne!(
        got.last().unwrap().topic,
        "f",
        "a frame does not wait for acknowledgements"
    );
}

#[tokio::test]
async fn a_poll_that_is_dropped_loses_nothing() {
    let broker = Mosquitto::start();
    let (bus, mut events) = bus_of(&broker, "one", &["a"]);
    let (mut sent, mut got, mut dropped) = (0_u32, 0_u32, 0_u32);
    let all = async {
        while got < 2_000 {
            // The first poll is always made; a second one hardly ever.
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                () = tokio::task::yield_now() => {
                    dropped += 1;
                    while sent < 2_000 && sent < got + 40 && bus.try_publish(numbered_event(sent)).is_ok() {
                        sent += 1;
                    }
                    continue;
                }
            };
            match event {
                BusEvent::Connected => {}
                BusEvent::Message(message) => {
                    assert_eq!(message, numbered_event(got));
                    got += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    };
    within("all messages", all).await;
    assert!(dropped > 50, "{dropped} polls were dropped");
}

/// Every other one is a frame.
fn numbered_event(number: u32) -> Message {
    let make = if number.is_multiple_of(2) { event } else { frame };
    make("a", numbered(number))
}

#[tokio::test]
async fn subscriptions_are_made_again_on_every_connection() {
    let mut broker = Mosquitto::start();
    let (bus, mut events) = connect(settings(&broker.url(), "one"), &["a", "b"]).await;
    bus.subscribe("c".to_owned(), Qos::AtMostOnce);
    bus.unsubscribe("b");
    let probe = async |bus: &Bus, events: &mut Events| {
        for topic in ["a", "b", "c"] {
            bus.try_publish(event(topic, "1")).unwrap();
        }
        all_until_mark(bus, events, "mark/one").await
    };
    let wanted = [event("a", "1"), frame("c", "1")];
    assert_eq!(probe(&bus, &mut events).await, wanted);
    broker.restart();
    connected(&mut events).await;
    assert_eq!(probe(&bus, &mut events).await, wanted);
    broker.kill();
    let _ = lost(&mut events).await;
    bus.unsubscribe("a");
    bus.subscribe("b".to_owned(), Qos::AtLeastOnce);
    broker.restart();
    connected(&mut events).await;
    assert_eq!(probe(&bus, &mut events).await, [event("b", "1"), frame("c", "1")]);
}

#[tokio::test]
async fn a_silent_broker_is_dropped_and_dialled_anew() {
    let broker = Mosquitto::start();
    let keepalive = Duration::from_secs(1);
    let one = BusSettings {
        keepalive,
        ..settings(&broker.url(), "one")
    };
    let (bus, mut events) = connect(one, &[]).await;
    // Pings keep a connection alive on which nothing happens.
    let quiet = timeout(keepalive * 3, events.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let frozen = Instant::now();
    broker.freeze();
    let (error, _) = lost(&mut events).await;
    assert!(matches!(error, BusError::Silent { .. }), "{error:?}");
    assert!(frozen.elapsed() > keepalive / 2, "{:?}", frozen.elapsed());
    broker.thaw();
    connected(&mut events).await;
    bus.try_publish(frame("a", "1")).unwrap();
}

#[tokio::test]
async fn a_probe_finds_a_dead_broker_at_once_and_does_a_good_one_no_harm() {
    let broker = Mosquitto::start();
    let (bus, mut events) = connect(settings(&broker.url(), "one"), &[]).await;
    let within_a_moment = Duration::from_secs(1);
    bus.probe(event("probe", ""), within_a_moment);
    let quiet = timeout(within_a_moment * 3, events.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    broker.freeze();
    bus.probe(event("probe", ""), within_a_moment);
    bus.probe(event("probe", ""), LONG);
    let (error, _) = lost(&mut events).await;
    assert!(matches!(error, BusError::Silent { .. }), "{error:?}");
    broker.thaw();
    connected(&mut events).await;
    let quiet = timeout(within_a_moment * 3, events.next()).await;
    assert!(quiet.is_err(), "the probe is over: {quiet:?}");
}

/// Accepts MQTT, and answers each ping before it is sent.
async fn broker_that_reads_nothing() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut connect = [0; 2];
        client.read_exact(&mut connect).await.unwrap();
        client.write_all(&[0x20, 2, 0, 0]).await.unwrap();
        while client.write_all(&[0xd0, 0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    url
}

#[tokio::test]
async fn a_broker_that_talks_but_takes_nothing_is_dropped() {
    let url = broker_that_reads_nothing().await;
    let one = BusSettings {
        keepalive: Duration::from_secs(1),
        ..settings(&url, "one")
    };
    let (bus, mut events) = bus(one, None, Vec::new());
    connected(&mut events).await;
    let error = loop {
        tokio::select! {
            (error, _) = lost(&mut events) => break error,
            () = publish(&bus, frame("a", numbered(0))) => {}
        }
    };
    assert!(matches!(error, BusError::Stuck { .. }), "{error:?}");
}

#[tokio::test]
async fn the_will_is_sent_unless_leave_is_taken() {
    let broker = Mosquitto::start();
    let (watcher, mut watching) = connect(settings(&broker.url(), "watcher"), &["one/#"]).await;
    let one = || settings(&broker.url(), "one");
    let (_bus, events) = connect_with_will(one(), Some(state("one/state", "gone")), &[]).await;
    drop(events);
    assert_eq!(next_message(&mut watching).await, event("one/state", "gone"));

    let (bus, events) = connect_with_will(one(), Some(state("one/state", "gone")), &["noise/#"]).await;
    for number in 0..300 {
        bus.try_publish(event("one/last", format!("{number}"))).unwrap();
        // Comes back, and is not read by anybody.
        bus.try_publish(event("noise/1", numbered(number))).unwrap();
    }
    assert!(events.disconnect(LONG).await);
    assert_eq!(bus.try_publish(frame("a", "1")), Err(NotTaken::Away));
    let seen = all_until_mark(&watcher, &mut watching, "mark/watcher").await;
    let wanted: Vec<_> = (0..300).map(|number| format!("one/last {number}")).collect();
    assert_eq!(texts(&seen), wanted);

    let (_bus, unconnected) = bus_of(&broker, "two", &[]);
    assert!(!unconnected.disconnect(LONG).await);
    let (_bus, events) = connect_with_will(one(), Some(state("one/state", "gone")), &[]).await;
    broker.freeze();
    let moment = Duration::from_millis(200);
    let left = within("leaving is bounded", events.disconnect(moment)).await;
    assert!(!left, "a broker that hangs takes no leave");
    broker.thaw();
}

#[tokio::test]
async fn hostile_payloads_do_no_harm() {
    // What is not acknowledged holds up what follows.
    let broker = Mosquitto::with(Options {
        extra: "max_inflight_messages 1".to_owned(),
        ..Options::default()
    });
    let (bus, mut events) = connect(settings(&broker.url(), "one"), &["a/#"]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 256 * 1024]).unwrap();
    for qos in ["0", "1"] {
        let port = broker.port().to_string();
        let sent = tokio::process::Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-t", "a/large", "-q", qos, "-f"])
            .arg(file.path())
            .status()
            .await
            .expect("mosquitto_pub is missing: run ./test, or apt-get install mosquitto-clients");
        assert!(sent.success());
        match within("a large message", events.next()).await {
            BusEvent::TooLarge { topic, bytes } => assert_eq!((&*topic, bytes), ("a/large", 256 * 1024)),
            other => panic!("{other:?}"),
        }
    }
    for number in 0..40 {
        bus.try_publish(event("a/b", format!("{number}"))).unwrap();
    }
    assert_eq!(all_until_mark(&bus, &mut events, "mark/one").await.len(), 40);
}

#[tokio::test]
async fn what_would_end_the_connection_is_not_sent() {
    let broker = Mosquitto::start();
    let (bus, mut events) = connect(settings(&broker.url(), "one"), &["#"]).await;
    for topic in ["", "a/+", "a/#", "a\0b"] {
        assert_eq!(
            bus.try_publish(frame(topic, "1")),
            Err(NotTaken::Unfit),
            "{topic}"
        );
    }
    assert_eq!(
        bus.try_publish(frame(&"a".repeat(1 << 16), "1")),
        Err(NotTaken::Unfit)
    );
    assert_eq!(
        bus.try_publish(frame("a", vec![0; 1 << 20])),
        Err(NotTaken::Unfit)
    );
    assert_eq!(all_until_mark(&bus, &mut events, "mark/one").await, []);
}

#[tokio::test]
async fn of_two_clients_with_one_id_the_older_is_told_what_may_be_the_reason() {
    let broker = Mosquitto::start();
    let (_first, mut events) = connect(settings(&broker.url(), "one"), &[]).await;
    let (_second, _events) = connect(settings(&broker.url(), "one"), &[]).await;
    let (error, news) = lost(&mut events).await;
    assert!(matches!(error, BusError::Closed(_)), "{error:?}");
    assert!(
        news && error.with_hint().contains("another gateway"),
        "{}",
        error.with_hint()
    );
}

/// The first two errors of a client, which never connects. The second is none that a person needs to read again.
async fn refused(settings: BusSettings) -> BusError {
    let (bus, mut events) = bus(settings, None, Vec::new());
    let (error, news) = lost(&mut events).await;
    assert!(news && !bus.is_connected());
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
    if !error.is_refusal() {
        let (again, news) = lost(&mut events).await;
        assert_eq!((again.to_string(), news), (error.to_string(), false));
    }
    error
}

#[tokio::test]
async fn an_account_is_needed_where_the_broker_wants_one() {
    let broker = Mosquitto::with(Options {
        users: vec![("edge", "s3cret")],
        ..Options::default()
    });
    let one = |user: Option<&str>, password: Option<&str>| BusSettings {
        user: user.map(str::to_owned),
        password: password.map(str::to_owned),
        ..settings(&broker.url(), "one")
    };
    let (_bus, _events) = connect(one(Some("edge"), Some("s3cret")), &[]).await;
    for (user, password) in [
        (None, None),
        (Some("edge"), Some("wrong")),
        (Some("hub"), Some("s3cret")),
        (Some("edge"), None),
    ] {
        let error = refused(one(user, password)).await;
        let credentials = |why| matches!(why, Refusal::Credentials | Refusal::NotAuthorized);
        assert!(
            matches!(error, BusError::Refused { why, .. } if credentials(why)),
            "{error:?}"
        );
        assert!(error.is_refusal());
        assert!(error.with_hint().contains("password ="), "{}", error.with_hint());
    }
    let shown = format!("{:?}", one(Some("edge"), Some("s3cret")));
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn tls_works_with_a_client_certificate_and_says_what_is_wrong() {
    let broker = Mosquitto::with(Options {
        tls: true,
        client_certificates: true,
        acl: Some("pattern readwrite %u/#\npattern readwrite mark/#\n".to_owned()),
        ..Options::default()
    });
    let trusting = || Tls::with_ca(&broker.ca()).unwrap();
    let (certificate, key) = broker.client_certificate();
    let presenting = || trusting().with_client_certificate(&certificate, &key).unwrap();
    let with = |tls: Tls, url: &str| BusSettings {
        tls,
        ..settings(url, "one")
    };
    let url = broker.url();
    let (bus, mut events) = connect(with(presenting(), &url), &["edge/a"]).await;
    bus.try_publish(event("edge/a", "1")).unwrap();
    assert_eq!(
        all_until_mark(&bus, &mut events, "mark/one").await,
        [event("edge/a", "1")]
    );

    let port = broker.port();
    for (settings, wanted) in [
        (with(trusting(), &url), "client_cert and client_key in [mqtt]"),
        (with(Tls::system(), &url), "ca = \"FILE\" in [mqtt]"),
        (
            with(presenting(), &format!("mqtts://127.0.0.1:{port}")),
            "with the name that is in it",
        ),
        (
            with(presenting(), &format!("mqtt://localhost:{port}")),
            "write mqtts:// instead of mqtt://",
        ),
    ] {
        let error = refused(settings).await;
        assert!(
            error.with_hint().contains(wanted),
            "{}: {error:?}",
            error.with_hint()
        );
    }
}

#[tokio::test]
async fn tls_works_with_an_ipv6_address() {
    let broker = Mosquitto::with(Options {
        tls: true,
        ipv6: true,
        ..Options::default()
    });
    let one = BusSettings {
        tls: Tls::with_ca(&broker.ca()).unwrap(),
        ..settings(&broker.url(), "one")
    };
    let _connected = connect(one, &[]).await;
}

#[tokio::test]
async fn what_is_no_broker_is_told_apart() {
    let broker = Mosquitto::start();
    let port = broker.port();
    let tls = refused(settings(&format!("mqtts://127.0.0.1:{port}"), "one")).await;
    assert!(matches!(tls, BusError::Tls { .. }), "{tls:?}");
    assert!(
        tls.with_hint().contains("mqtt:// instead of mqtts://"),
        "{}",
        tls.with_hint()
    );

    drop(broker);
    let nobody = refused(settings(&format!("mqtt://127.0.0.1:{port}"), "one")).await;
    assert!(matches!(nobody, BusError::Tcp { .. }), "{nobody:?}");
    assert!(
        nobody.with_hint().contains("is the broker running"),
        "{}",
        nobody.with_hint()
    );

    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 64];
            let _ = client.read(&mut request).await;
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{}",
                "x".repeat(100)
            );
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    let http = refused(settings(&url, "one")).await;
    assert!(matches!(http, BusError::NotMqtt { .. }), "{http:?}");
}
