//! Limits on wrong guesses: those of one address slow down, and all together have a rate.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

/// Wrong guesses of one address before it has to wait.
const FREE: u32 = 5;
/// The longest wait of one address.
const LONGEST: Duration = Duration::from_secs(60);
/// An address that guessed nothing for this long begins anew.
const FORGET: Duration = Duration::from_secs(15 * 60);
/// Addresses that are remembered.
const PEERS_MAX: usize = 1_024;
/// All addresses together: one wrong guess in this time, and so many at once.
const STEP: Duration = Duration::from_secs(2);
const BURST: u32 = 30;

/// The wrong guesses at one secret.
#[derive(Default)]
pub(super) struct Limiter {
    peers: HashMap<IpAddr, Failures>,
    /// What the wrong guesses of all addresses cost at that time: a [`STEP`] each. It wears off.
    spent: Option<(Duration, Instant)>,
}

struct Failures {
    times: u32,
    last: Instant,
}

impl Failures {
    /// When the next guess is allowed.
    fn until(&self) -> Instant {
        match self.times.checked_sub(FREE) {
            None => self.last,
            Some(more) => self.last + LONGEST.min(Duration::from_secs(1 << more.min(16))),
        }
    }

    fn is_old(&self, now: Instant) -> bool {
        now >= self.last + FORGET
    }
}

impl Limiter {
    /// How long this address has to wait before it may guess; `None` if it may now.
    pub(super) fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.peers.get(&network(peer)).filter(|f| !f.is_old(now));
        let own = failures.map(|failures| failures.until().saturating_duration_since(now));
        // Guesses from many addresses must not lock out a person at this machine.
        let all = (self.spent(now) + STEP).saturating_sub(STEP * BURST);
        let all = if peer.is_loopback() { Duration::ZERO } else { all };
        Some(own.unwrap_or_default().max(all)).filter(|wait| !wait.is_zero())
    }

    fn spent(&self, now: Instant) -> Duration {
        self.spent.map_or(Duration::ZERO, |(spent, at)| {
            spent.saturating_sub(now.saturating_duration_since(at))
        })
    }

    /// Counts a wrong guess.
    pub(super) fn failed(&mut self, peer: IpAddr, now: Instant) {
        let network = network(peer);
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&network) {
            self.make_room(now);
        }
        let failures = self
            .peers
            .entry(network)
            .or_insert(Failures { times: 0, last: now });
        if failures.is_old(now) {
            failures.times = 0;
        }
        failures.times = failures.times.saturating_add(1);
        failures.last = now;
        if !peer.is_loopback() {
            self.spent = Some((self.spent(now) + STEP, now));
        }
    }

    /// Forgets the wrong guesses of an address that guessed right.
    pub(super) fn passed(&mut self, peer: IpAddr) {
        self.peers.remove(&network(peer));
    }

    fn make_room(&mut self, now: Instant) {
        self.peers.retain(|_, failures| !failures.is_old(now));
        if self.peers.len() >= PEERS_MAX {
            let oldest = self.peers.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.peers.remove(&oldest);
            }
        }
    }
}

/// What an address is counted under: for IPv6 its /64 network, all of which one peer may use.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let bits = ip.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, 1));

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    /// Guesses as often as it is let, for this long; returns how often.
    fn guesses(limiter: &mut Limiter, peers: u32, now: Instant, time: Duration) -> u32 {
        let (mut at, mut times) = (now, 0);
        while at < now + time {
            for n in 0..peers {
                while limiter.wait(ip(n), at).is_none() {
                    limiter.failed(ip(n), at);
                    times += 1;
                }
            }
            at += Duration::from_millis(500);
        }
        times
    }

    #[test]
    fn one_address_is_slowed_down_and_others_are_not() {
        let now = Instant::now();
        let mut limiter = Limiter::default();
        for _ in 0..FREE {
            assert_eq!(limiter.wait(ip(1), now), None);
            limiter.failed(ip(1), now);
        }
        assert_eq!(limiter.wait(ip(1), now), Some(Duration::from_secs(1)));
        assert_eq!(limiter.wait(ip(2), now), None);
        let later = now + Duration::from_secs(1);
        assert_eq!(limiter.wait(ip(1), later), None);
        limiter.failed(ip(1), later);
        assert_eq!(limiter.wait(ip(1), later), Some(Duration::from_secs(2)));
        limiter.passed(ip(1));
        assert_eq!(limiter.wait(ip(1), later), None);

        let hour = guesses(&mut Limiter::default(), 1, now, Duration::from_secs(3_600));
        assert!((60..80).contains(&hour), "{hour}");
    }

    #[test]
    fn all_addresses_together_have_a_rate() {
        let now = Instant::now();
        let mut limiter = Limiter::default();
        let time = Duration::from_secs(300);
        let guesses = guesses(&mut limiter, 2_000, now, time);
        assert!((150..200).contains(&guesses), "{guesses}");
        let later = now + time - Duration::from_millis(500);
        assert!(limiter.wait(OTHER, later).is_some(), "{OTHER} has to wait too");
        let here = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(limiter.wait(here, later), None, "who sits at this machine");
        for _ in 0..FREE {
            limiter.failed(here, later);
        }
        assert!(limiter.wait(here, later).is_some());
    }

    #[test]
    fn not_every_address_is_remembered() {
        let now = Instant::now();
        let mut limiter = Limiter::default();
        for n in 0..2_000 {
            limiter.failed(ip(n), now + Duration::from_millis(n.into()));
        }
        assert_eq!(limiter.peers.len(), PEERS_MAX);
        assert!(limiter.peers.contains_key(&ip(1_999)) && !limiter.peers.contains_key(&ip(0)));
    }

    #[test]
    fn the_addresses_of_a_network_are_one() {
        let now = Instant::now();
        let mut limiter = Limiter::default();
        for n in 0..5 {
            limiter.failed(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, n).into(), now);
        }
        assert!(limiter.wait(OTHER, now).is_some());
        assert!(
            limiter
                .wait(Ipv6Addr::new(0xfd00, 0, 0, 2, 0, 0, 0, 1).into(), now)
                .is_none()
        );
        for _ in 0..5 {
            limiter.failed(ip(1), now);
        }
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert!(limiter.wait(mapped, now).is_some());
    }
}
