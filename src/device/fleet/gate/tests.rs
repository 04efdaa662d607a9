//! Any interleaving of frames, stops, duplicates, owners, leases and delays: nothing moves a device that must not.

use proptest::prelude::*;

use super::*;

/// What may happen at an edge, in any order.
#[derive(Clone, Debug)]
enum Event {
    /// The owner, or one of an earlier session, sends. How far back its knowledge of the clock is.
    Send {
        stop: bool,
        age: u32,
        earlier_session: bool,
    },
    /// A message that was sent, by its place, arrives: perhaps late, perhaps again.
    Arrive(prop::sample::Index),
    /// A lease that returns a time so long ago.
    Renew(u32),
    /// The hub is known to be gone.
    End,
    /// Time passes.
    Pass(u32),
    /// Another owner.
    NewSession,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (any::<bool>(), 0..700u32, prop::bool::weighted(0.1)).prop_map(|(stop, age, earlier_session)| Event::Send {
            stop: stop && age % 3 == 0,
            age,
            earlier_session
        }),
        6 => any::<prop::sample::Index>().prop_map(Event::Arrive),
        3 => (0..1_300u32).prop_map(Event::Renew),
        1 => Just(Event::End),
        3 => (1..400u32).prop_map(Event::Pass),
        1 => Just(Event::NewSession),
    ]
}

struct Model {
    now: Millis,
    session: u32,
    /// From which sequence number the owner counts: near the largest, so that it passes it.
    seq: u32,
    sent: Vec<Header>,
    /// What reached the device in this session: how often the owner had sent before.
    passed: Vec<u32>,
    stops: Vec<u32>,
    /// The newest time that a live lease proved, and when a gone hub took it back.
    proved: Option<Millis>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn nothing_moves_after_a_stop_without_a_lease_or_out_of_its_time(
        start: u32,
        first_seq in prop_oneof![Just(u32::MAX - 3), Just(0), any::<u32>()],
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let mut model = Model {
            now: Millis(start), session: u32::MAX, seq: first_seq, sent: Vec::new(), passed: Vec::new(), stops: Vec::new(), proved: None,
        };
        let place = |seq: u32| seq.wrapping_sub(first_seq);
        let mut gate = Gate::new(model.session);
        let mut lease = Lease::default();
        for event in events {
            match event {
                Event::Send { stop, age, earlier_session } => {
                    model.seq = model.seq.wrapping_add(1);
                    model.sent.push(Header {
                        session: model.session.wrapping_sub(u32::from(earlier_session)),
                        seq: model.seq,
                        nonce: Millis(model.now.0.wrapping_sub(age)),
                        kind: if stop { Kind::Stop } else { Kind::Frame },
                    });
                }
                Event::Arrive(_) if model.sent.is_empty() => {}
                Event::Arrive(which) => {
                    let header = *which.get(&model.sent);
                    let verdict = gate.judge(&header, lease, model.now);
                    let n = place(header.seq);
                    match verdict {
                        Verdict::Pass => {
                            prop_assert_eq!(header.session, model.session);
                            prop_assert_eq!(header.kind, Kind::Frame);
                            prop_assert!(model.passed.iter().all(|passed| *passed < n), "in order, and once");
                            prop_assert!(model.stops.iter().all(|stop| *stop < n), "after every stop that was seen");
                            let proved = model.proved.expect("a lease");
                            prop_assert!(model.now.since(proved).expect("the past") < LEASE_MS);
                            prop_assert!(model.now.since(header.nonce).expect("the past") <= FRESH_MS);
                            model.passed.push(n);
                        }
                        Verdict::Stop => {
                            prop_assert_eq!(header.session, model.session);
                            prop_assert_eq!(header.kind, Kind::Stop);
                            prop_assert!(!model.stops.contains(&n), "a stop that comes again stops nothing");
                            model.stops.push(n);
                        }
                        // A stop is heeded unless the owner's later word was.
                        Verdict::Drop(_) if header.kind == Kind::Stop && header.session == model.session => {
                            let later = |places: &[u32]| places.iter().any(|place| *place >= n);
                            prop_assert!(later(&model.passed) || later(&model.stops));
                        }
                        // What was not done is not taken for what was.
                        Verdict::Drop(Why::Old) if header.kind == Kind::Frame => prop_assert!(model.passed.contains(&n)),
                        Verdict::Drop(Why::Overtaken) => {
                            prop_assert!(model.passed.iter().any(|passed| *passed > n));
                            prop_assert!(!model.passed.contains(&n) || model.passed.iter().any(|passed| passed - n >= 64));
                        }
                        Verdict::Drop(_) => {}
                    }
                }
                Event::Renew(age) => {
                    let nonce = Millis(model.now.0.wrapping_sub(age));
                    let renewed = lease.renew(nonce, model.now);
                    prop_assert_eq!(renewed, age < LEASE_MS);
                    if renewed && model.proved.is_none_or(|proved| nonce.since(proved).is_some()) {
                        model.proved = Some(nonce);
                    }
                }
                Event::End => {
                    lease.end();
                    model.proved = None;
                }
                Event::Pass(ms) => model.now = model.now.plus(ms),
                Event::NewSession => {
                    model.session = model.session.wrapping_add(1);
                    gate = Gate::new(model.session);
                    model.passed.clear();
                    model.stops.clear();
                }
            }
            let is_live = model.proved.is_some_and(|proved| model.now.since(proved).is_some_and(|age| age < LEASE_MS));
            prop_assert_eq!(lease.is_live(model.now), is_live);
        }
    }
}

#[test]
fn a_time_that_was_never_sent_proves_nothing() {
    let mut lease = Lease::default();
    assert!(!lease.renew(Millis(1_001), Millis(1_000)));
    assert!(!lease.is_live(Millis(1_000)));
    assert!(lease.renew(Millis(1_000), Millis(1_000)));
    assert_eq!(lease.left(Millis(1_400)), Some(600));
    assert_eq!(lease.left(Millis(2_000)), None);
    // An older one that comes late takes nothing away.
    assert!(lease.renew(Millis(900), Millis(1_400)));
    assert_eq!(lease.left(Millis(1_400)), Some(600));
}
