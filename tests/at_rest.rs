//! Outputs never outlive control: every way to lose control, on every link, in every language.
//!
//! Model boards know what their language's commands do. All their outputs are on when control is lost, with nobody
//! sending anything or in the middle of a stream of commands, and the question is whether each board comes to rest and
//! stays there. Which bytes do that is not asked.
//!
//! Each test prints its link's figures. `WSDM_AT_REST_TABLE=path` has the table of all that ran written there,
//! `WSDM_AT_REST_ONLY=SIGTERM` runs the ways with such a name only.
#![cfg(unix)]

#[path = "at_rest/app.rs"]
mod app;
mod common;
#[path = "at_rest/controllers.rs"]
mod controllers;
#[path = "at_rest/fleet.rs"]
mod fleet;
#[path = "at_rest/gateway.rs"]
mod gateway;
#[path = "at_rest/heal.rs"]
mod heal;
#[path = "at_rest/network.rs"]
mod network;
#[path = "at_rest/rig.rs"]
mod rig;
#[path = "at_rest/table.rs"]
mod table;
#[path = "at_rest/trial.rs"]
mod trial;
#[path = "at_rest/ways.rs"]
mod ways;
#[path = "at_rest/websocket.rs"]
mod websocket;

use heal::Hub;
use table::check;
use ways::{Link, Way};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_websocket() {
    check(Link::Websocket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_websocket_over_tls() {
    check(Link::Tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_serial_line() {
    check(Link::SerialFast).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_slow_serial_line() {
    check(Link::SerialSlow).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_bluetooth() {
    check(Link::Ble).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_relay() {
    check(Link::Relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_relay_on_a_slow_serial_line() {
    check(Link::RelaySlow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_websocket_that_is_dialled() {
    check(Link::DialWebsocket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_tcp_connection_that_is_dialled() {
    check(Link::DialTcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_udp() {
    check(Link::DialUdp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_fleet() {
    check(Link::Fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_fleet_on_a_slow_serial_line() {
    check(Link::FleetSlow).await;
}

/// Its devices were stopped for its silence; it was not disconnected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_goes_on_after_a_silence_drives_again() {
    trial::thaw(Way::AppFreezes, Link::Websocket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_goes_on_after_a_silence_drives_again() {
    trial::thaw(Way::UpstreamFreezes, Link::Relay).await;
}

/// Nothing that a hub or the network held back meanwhile arrives afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_whose_trouble_is_over_brings_nothing_old() {
    for way in [
        Way::UpstreamFreezes,
        Way::BrokerSigkill,
        Way::BrokerFreezes,
        Way::EdgeIsCutOff,
        Way::EdgeIsUnreachable,
        Way::HubIsCutOff,
        Way::HubIsUnreachable,
    ] {
        if !table::is_chosen(way) {
            continue;
        }
        heal::brings_nothing_old(way, Link::Fleet, Hub::Lives).await;
    }
}

/// The same, of a hub that died meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_dead_moves_nothing_by_what_it_left_on_its_way() {
    for way in [Way::BrokerFreezes, Way::EdgeIsUnreachable, Way::HubIsUnreachable] {
        if !table::is_chosen(way) {
            continue;
        }
        heal::brings_nothing_old(way, Link::Fleet, Hub::Dies).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_whose_trouble_is_over_obeys_only_what_is_new() {
    for way in [
        Way::BrokerSigkill,
        Way::BrokerFreezes,
        Way::EdgeIsCutOff,
        Way::EdgeIsUnreachable,
        Way::HubIsCutOff,
        Way::HubIsUnreachable,
    ] {
        if !table::is_chosen(way) {
            continue;
        }
        heal::obeys_only_what_is_new(way).await;
    }
}

/// What the tests above rest on: the boards do what their commands say.
mod models {
    use super::common::model_board::{Kind, ModelBoard, Verdict};

    /// Sends this to a board with all its outputs on: what runs then.
    fn running_after(kind: Kind, bytes: &str) -> String {
        let board = ModelBoard::new(kind, true);
        board.leave_running();
        assert!(board.is_running_all() && board.rest_since().is_none());
        board.receive(bytes.as_bytes());
        let running = board.running();
        assert_eq!(board.rest_since().is_some(), running.is_empty());
        running
    }

    #[test]
    fn each_stops_by_its_own_commands_alone() {
        for (kind, bytes, running) in [
            (Kind::Hush, "Vibrate:0;", ""),
            (Kind::Hush, "Vibrate:0", "vibrate 1 at 20/20"),
            (Kind::Hush, "Rotate:0;Air:Level:0;", "vibrate 1 at 20/20"),
            (Kind::Edge, "Vibrate:0;", ""),
            (Kind::Edge, "Vibrate2:0;", "vibrate 1 at 20/20"),
            (
                Kind::Edge,
                "Vibrate1:0;Vibrate2:0;Vibrate1:5;",
                "vibrate 1 at 5/20",
            ),
            (Kind::Nora, "Vibrate:0;", "rotate at 20/20"),
            (Kind::Nora, "RotateChange;Rotate:0;Vibrate:0;", ""),
            (Kind::Max, "Vibrate:0;Rotate:0;", "air at 3/3"),
            (Kind::Max, "Vibrate:0;Air:Level:0;", ""),
            (Kind::Flexer, "Vibrate:0;Rotate:0;", "finger at 20/20"),
            (Kind::Flexer, "Mply:0:-1:0;", "vibrate 2 at 20/20"),
            (Kind::Flexer, "Mply:0:0:0;", ""),
            (Kind::Stroker, "DSTOP\n", ""),
            (Kind::Stroker, "V10\n", "L0 moves to 0.999"),
            (Kind::Stroker, "V10 L05\n", ""),
            (Kind::Stroker, "V10 L05I1000\n", "L0 moves to 0.500"),
            (Kind::Stroker, "DSTOP\nV199\n", "V1 at 0.99"),
            (Kind::Buzzer, "DSTOP\n", "V1 at 1.00"),
            (Kind::Buzzer, "V100\n", ""),
        ] {
            assert_eq!(running_after(kind, bytes), running, "{kind:?} {bytes:?}");
        }
    }

    #[test]
    fn each_runs_by_the_frames_that_drive_it() {
        for kind in Kind::ALL {
            let board = ModelBoard::new(kind, true);
            assert!(board.rest_since().is_some());
            for nth in 0..kind.outputs().len() {
                board.receive(kind.frame(nth, 1.0).as_bytes());
            }
            assert!(board.is_running_all(), "{kind:?} {}", board.running());
            assert_eq!(board.obeyed(), kind.outputs().len());
        }
    }

    #[test]
    fn what_is_no_command_is_counted() {
        let unknown = |kind, bytes: &str| {
            let board = ModelBoard::new(kind, true);
            board.receive(bytes.as_bytes());
            board.unknown()
        };
        assert_eq!(
            unknown(
                Kind::Hush,
                "\n;Vibrate:21;Vibrate:;Vibr;ate:1;Make:Tea;Mply:0:0;Vibrate2:0;"
            ),
            ["Vibrate:21", "Vibrate:", "Vibr", "ate:1", "Make:Tea"]
        );
        assert_eq!(
            unknown(Kind::Stroker, "\nL0 L05I DST V1x R05 V05 L0500I100\n"),
            ["L0", "L05I", "DST", "V1x"]
        );
        let board = ModelBoard::new(Kind::Hush, false);
        let answers = board.receive(b"Vibrate:1;DeviceType;Rotate:0;");
        assert_eq!(answers, [b"Z:11:000000000000;"]);
        let verdicts: Vec<Verdict> = board.commands().iter().map(|c| c.verdict).collect();
        assert_eq!(verdicts, [Verdict::Obeyed, Verdict::Query, Verdict::Refused]);
    }

    #[test]
    fn a_move_ends_by_itself_and_since_then_it_rests() {
        let board = ModelBoard::new(Kind::Stroker, true);
        board.receive(b"L0500I500\n");
        assert!(board.rest_since().is_none());
        let moved = std::time::Instant::now();
        let since = loop {
            if let Some(since) = board.rest_since() {
                break since;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        assert!(since.saturating_duration_since(moved).as_millis() <= 500);
        // To where it is already.
        board.receive(b"L0500I3000\n");
        assert_eq!(board.rest_since(), Some(since));
    }
}
