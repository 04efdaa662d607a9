//! What the status LED says.
//!
//! | state | LED |
//! |---|---|
//! | no Wi-Fi (BLE: nobody connected) | slow blink: 1 a second, half of it lit |
//! | Wi-Fi, but no gateway | two short flashes a second |
//! | a gateway has control | lit |
//! | refused by the gateway; the console says why | fast blink: 5 a second |
//! | stopped by the watchdog in the last 10 s, or by the button | three short flashes a second |
//! | the saved settings cannot be used; the console says why | one short flash a second |
//! | told to turn itself off | dark |

use wsdm_device::{Report, Stopped};

/// For so long a watchdog's stop is shown, whatever came after it.
const STOPPED_SHOWN_MS: u64 = 10_000;
/// A gateway refuses within moments of the handshake; a connection that is older was not refused.
const ACCEPTED_AFTER_MS: u64 = 1_000;

/// What a board is at, as one look tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NoNetwork,
    NoGateway,
    Connected,
    Refused,
    Stopped,
    Unset,
    Off,
}

/// Follows what happens to a board.
#[derive(Clone, Copy, Debug, Default)]
pub struct Status {
    network: bool,
    connected: Option<u64>,
    refused: bool,
    stopped: Option<u64>,
    held: bool,
    unset: bool,
    off: bool,
}

impl Status {
    /// A board that was just switched on.
    pub const fn new() -> Self {
        Self {
            network: false,
            connected: None,
            refused: false,
            stopped: None,
            held: false,
            unset: false,
            off: false,
        }
    }

    /// Wi-Fi came or went.
    pub const fn network(&mut self, is_up: bool) {
        self.network = is_up;
    }

    /// There are no settings that a gateway may be obeyed with.
    pub const fn unset(&mut self) {
        self.unset = true;
    }

    /// The device core told this.
    pub fn report(&mut self, now: u64, report: &Report<'_>) {
        match report {
            Report::Connected => self.connected = Some(now),
            Report::Refused { .. } | Report::Rejected { .. } => {
                self.connected = None;
                self.refused = true;
            }
            Report::Lost(_) | Report::Interrupted => {
                self.connected = None;
                // Nobody there, or a fault on the way: that is what has to be shown now.
                self.refused = false;
            }
            Report::Stopped(Stopped {
                by_watchdog: true, ..
            }) => self.stopped = Some(now),
            Report::Held => self.held = true,
            Report::Released => self.held = false,
            Report::PoweredOff => self.off = true,
            _ => {}
        }
    }

    /// Whether the LED is lit at this time.
    pub fn is_lit(&self, now: u64) -> bool {
        is_lit_in(self.state(now), now)
    }

    fn state(&self, now: u64) -> State {
        let lately = |at: Option<u64>, ms| at.is_some_and(|at| now.saturating_sub(at) < ms);
        if self.off {
            State::Off
        } else if self.unset {
            State::Unset
        } else if self.held || lately(self.stopped, STOPPED_SHOWN_MS) {
            State::Stopped
        } else if !self.network {
            State::NoNetwork
        } else if self.refused && (self.connected.is_none() || lately(self.connected, ACCEPTED_AFTER_MS)) {
            State::Refused
        } else if self.connected.is_some() {
            State::Connected
        } else {
            State::NoGateway
        }
    }
}

/// Whether an LED that says this is lit so many milliseconds after some start.
const fn is_lit_in(state: State, ms: u64) -> bool {
    match state {
        State::NoNetwork => ms % 1_000 < 500,
        State::NoGateway => flashes(2, ms),
        State::Connected => true,
        State::Refused => ms % 200 < 100,
        State::Stopped => flashes(3, ms),
        State::Unset => flashes(1, ms),
        State::Off => false,
    }
}

/// So many flashes of 100 ms at the start of each second.
const fn flashes(count: u64, ms: u64) -> bool {
    ms % 1_000 < count * 250 && ms % 250 < 100
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wsdm_device::Loss;

    use super::*;

    /// One character for each 50 ms of a second.
    fn second(state: State) -> String {
        (0..20)
            .map(|step| {
                if is_lit_in(state, 7_000 + step * 50) {
                    '#'
                } else {
                    '.'
                }
            })
            .collect()
    }

    #[test]
    fn each_state_looks_different() {
        assert_eq!(second(State::NoNetwork), "##########..........");
        assert_eq!(second(State::NoGateway), "##...##.............");
        assert_eq!(second(State::Connected), "####################");
        assert_eq!(second(State::Refused), "##..##..##..##..##..");
        assert_eq!(second(State::Stopped), "##...##...##........");
        assert_eq!(second(State::Unset), "##..................");
        assert_eq!(second(State::Off), "....................");
    }

    #[test]
    fn a_boards_life() {
        let mut status = Status::new();
        assert_eq!(status.state(0), State::NoNetwork);
        status.network(true);
        assert_eq!(status.state(100), State::NoGateway);
        status.report(200, &Report::Connected);
        assert_eq!(status.state(200), State::Connected);
        status.report(
            5_000,
            &Report::Stopped(Stopped {
                by_watchdog: true,
                silent_ms: 1_000,
            }),
        );
        status.report(5_000, &Report::Lost(Loss::Silent { ms: 1_000 }));
        status.network(false);
        assert_eq!(status.state(14_999), State::Stopped);
        assert_eq!(status.state(15_000), State::NoNetwork);
        status.report(15_000, &Report::PoweredOff);
        assert_eq!(status.state(15_000), State::Off);
    }

    #[test]
    fn the_buttons_stop_is_shown_until_it_is_over() {
        let mut status = Status::new();
        status.network(true);
        status.report(0, &Report::Connected);
        status.report(10, &Report::Held);
        assert_eq!(status.state(60_000), State::Stopped);
        status.report(60_000, &Report::Released);
        assert_eq!(status.state(60_000), State::Connected);
    }

    #[test]
    fn a_board_without_settings_does_not_look_like_one_without_a_network() {
        let mut status = Status::new();
        status.unset();
        assert_eq!(status.state(0), State::Unset);
    }

    #[test]
    fn a_stop_without_the_watchdog_is_none_of_its() {
        let mut status = Status::new();
        status.network(true);
        status.report(
            5,
            &Report::Stopped(Stopped {
                by_watchdog: false,
                silent_ms: 3,
            }),
        );
        assert_eq!(status.state(5), State::NoGateway);
    }

    #[test]
    fn a_refused_board_that_tries_again_does_not_look_connected() {
        let refused = Report::Refused {
            code: 4001,
            reason: "",
        };
        let mut status = Status::new();
        status.network(true);
        status.report(0, &Report::Connected);
        status.report(10, &refused);
        assert_eq!(status.state(10), State::Refused);
        status.report(5_000, &Report::Connected);
        assert_eq!(status.state(5_500), State::Refused);
        assert_eq!(status.state(6_000), State::Connected);
        status.report(6_100, &Report::Lost(Loss::Ended));
        assert_eq!(status.state(6_100), State::NoGateway);
    }

    proptest! {
        #[test]
        fn no_time_breaks_it(now: u64, at: u64) {
            let mut status = Status::new();
            status.report(at, &Report::Connected);
            let _ = status.is_lit(now);
        }
    }
}
