//! Connections over embassy-net, whose network here is a loop: what is sent comes back, and is noted.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, StackResources, StaticConfigV4};
use tokio::sync::Notify;
use wsdm_device::{Dial, NetDial};

const HOST: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const PORT: u16 = 54_817;

/// A wire from the stack to itself, so that board and gateway are both on it.
#[derive(Clone, Default)]
struct Wire(Rc<Shared>);

#[derive(Default)]
struct Shared {
    state: RefCell<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    under_way: VecDeque<Vec<u8>>,
    receiver: Option<Waker>,
    /// What each packet to the gateway carried.
    carried: Vec<Vec<u8>>,
    /// Nothing that the gateway sends arrives any more, its acknowledgements neither.
    is_gateway_cut_off: bool,
}

impl Wire {
    fn send(&self, packet: Vec<u8>) {
        let mut state = self.0.state.borrow_mut();
        // An IPv4 header, then that of TCP, each of a length of its own.
        let tcp = &packet[usize::from(packet[0] & 0x0f) * 4..];
        let [from, to] = [0, 2].map(|at| u16::from_be_bytes([tcp[at], tcp[at + 1]]));
        if to == PORT {
            state.carried.push(tcp[usize::from(tcp[12] >> 4) * 4..].to_vec());
            self.0.changed.notify_one();
        }
        if from == PORT && state.is_gateway_cut_off {
            return;
        }
        state.under_way.push_back(packet);
        if let Some(receiver) = state.receiver.take() {
            receiver.wake();
        }
    }

    /// Waits until a packet carried just this.
    async fn carries(&self, wanted: &[u8]) {
        let has = || self.0.state.borrow().carried.iter().any(|one| one == wanted);
        while !has() {
            self.0.changed.notified().await;
        }
    }
}

impl Driver for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Self;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Self)> {
        let mut state = self.0.state.borrow_mut();
        state.receiver = Some(cx.waker().clone());
        let packet = state.under_way.pop_front()?;
        Some((Received(packet), self.clone()))
    }

    fn transmit(&mut self, _cx: &mut Context<'_>) -> Option<Self> {
        Some(self.clone())
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1_500;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ip
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        f(&mut self.0)
    }
}

impl TxToken for Wire {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.send(packet);
        result
    }
}

/// With Nagle's algorithm the second would wait for an acknowledgement of the first, and go with it when that is repeated.
#[tokio::test]
async fn an_answer_does_not_wait_for_the_acknowledgement_of_the_one_before() {
    let wire = Wire::default();
    let mut resources = StackResources::<4>::new();
    let config = Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(HOST, 24),
        gateway: None,
        dns_servers: Default::default(),
    });
    let (stack, mut runner) = embassy_net::new(wire.clone(), config, &mut resources, 1);
    let test = async {
        let (mut rx, mut tx) = ([0; 256], [0; 256]);
        let mut gateway = TcpSocket::new(stack, &mut rx, &mut tx);
        let mut net = NetDial::<256>::new(stack);
        let host = HOST.to_string();
        let (dialled, accepted) = join(net.dial(&host, PORT), gateway.accept(PORT)).await;
        accepted.unwrap();
        let mut board = dialled.unwrap();
        wire.0.state.borrow_mut().is_gateway_cut_off = true;
        for answer in [b"1", b"2"] {
            assert_eq!(board.write(answer).await, Ok(1));
            let carried = tokio::time::timeout(Duration::from_secs(5), wire.carries(answer)).await;
            let all = || wire.0.state.borrow().carried.clone();
            assert!(carried.is_ok(), "{answer:?} was not sent, only {:?}", all());
        }
    };
    match select(runner.run(), test).await {
        Either::First(never) => never,
        Either::Second(()) => {}
    }
}
