use std::future::{Future, poll_fn};
use std::task::Poll;

use super::*;
use crate::defaults::INJECT_QUEUE;

use crate::device::handshake::Identifier;

#[tokio::test]
async fn a_frame_whose_sender_gave_up_is_not_written_and_the_queue_is_bounded() {
    let handshake = Handshake::new(
        Identifier::new("LVSDevice").unwrap(),
        Address::new("one").unwrap(),
    );
    let peer = Peer::Websocket("127.0.0.1:1".parse().unwrap());
    let entry = Arc::new(Registry::default())
        .admit(handshake, peer)
        .await
        .unwrap();
    let handle = entry.handle().clone();
    let mut waiting = Vec::new();
    for i in 0..INJECT_QUEUE as u8 {
        let mut sent = Box::pin(handle.inject(Frame::from(vec![i]), Controller::UPSTREAM));
        let pending = poll_fn(|cx| Poll::Ready(sent.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        waiting.push(sent);
    }
    assert_eq!(
        handle.inject(Frame::from(vec![99]), Controller::UPSTREAM).await,
        Err(InjectError::Busy)
    );
    drop(waiting.remove(0));
    let Order::Inject(first, _) = handle.next_order().await else {
        panic!("the frame whose sender still waits");
    };
    assert_eq!(first.frame, Frame::from(vec![1]));
    let receipt = first.receipt.expect("the sender waits");
    receipt.send(()).expect("the sender waits");
    assert_eq!(waiting.remove(0).await, Ok(()));
    drop(entry);
    assert_eq!(waiting.remove(0).await, Err(InjectError::Gone));
    assert_eq!(
        handle.inject(Frame::from(vec![99]), Controller::UPSTREAM).await,
        Err(InjectError::Gone)
    );
    // Nor does a stop wait for a session that has ended.
    handle.stop_outputs().await;
}

/// What an older session left pending is not forgotten because a newer one set something else.
#[tokio::test]
async fn a_pending_stop_outlives_a_session_in_which_the_device_never_spoke() {
    let handshake = || {
        Handshake::new(
            Identifier::new("LVSDevice").unwrap(),
            Address::new("one").unwrap(),
        )
    };
    let peer = || Peer::Websocket("127.0.0.1:1".parse().unwrap());
    let registry = Arc::new(Registry::default());
    let lovense = crate::device::language::of_protocol("lovense");
    for (command, speaks, wanted) in [
        ("Air:Level:3;", false, &["Air:Level:0;"][..]),
        ("Vibrate:5;", false, &["Air:Level:0;", "Vibrate:0;"]),
        ("Rotate:5;", true, &["Rotate:0;"]),
    ] {
        let mut entry = registry.admit(handshake(), peer()).await.unwrap();
        entry.actuators = Actuators::new(lovense, None);
        let frame = Frame::from(command.as_bytes().to_vec());
        let command = Command::read(lovense, &frame);
        entry.observe(&frame, &command, Controller::UPSTREAM);
        if speaks {
            entry.device_spoke();
        }
        drop(entry);
        let pending = registry.admit(handshake(), peer()).await.unwrap();
        let frames: Vec<Frame> = wanted
            .iter()
            .map(|text| Frame::from(text.as_bytes().to_vec()))
            .collect();
        assert_eq!(pending.pending_stop(), Some(&frames[..]));
    }
}
