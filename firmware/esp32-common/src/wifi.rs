//! The link over Wi-Fi.

use core::fmt::Write as _;

use embassy_executor::Spawner;
use embassy_futures::select::{Either3, select3};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Runner, Stack, StackResources};
use esp_hal::peripherals::WIFI;
use esp_hal::rng::Rng;
use esp_println::println;
use esp_radio::wifi::Interface;
use static_cell::StaticCell;
use wsdm_device::wsdm_protocol;
use wsdm_device::{
    Client, Device, Dial, EmbassyClock, Ended, Identity, Loss, Memory, NetDial, Report, Timing, TlsDial,
};
use wsdm_device_board::ota::Slots;
use wsdm_device_board::{Gateway, Settings};

use crate::flash::Flash;
pub use crate::station::Radio;
use crate::{Board, lookup, station, updates};

/// DHCP, DNS, the gateway, the search for it, and updates.
const SOCKETS: usize = 5;
/// What stands for the gateway's host where it is looked up.
const LOOKED_UP: &str = "_wsdm._tcp.local";

/// A network stack on the radio, and the images that it can replace.
pub struct Link {
    stack: Stack<'static>,
    slots: Option<Slots<Flash>>,
}

impl Link {
    /// Starts the radio, and gives it for Improv. What keeps it from starting is told, and then there is no network.
    pub fn new(
        spawner: Spawner,
        radio: WIFI<'static>,
        settings: &'static Settings,
        slots: Option<Slots<Flash>>,
    ) -> (Self, Option<Radio>) {
        static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
        let interface = Interface::station();
        let controller = station::controller(radio, settings);
        let random = Rng::new();
        let seed = u64::from(random.random()) << 32 | u64::from(random.random());
        let resources = RESOURCES.init(StackResources::new());
        let (stack, runner) =
            embassy_net::new(interface, Config::dhcpv4(Default::default()), resources, seed);
        // There is room for one of each, and each is spawned once.
        spawner.spawn(network(runner).expect("room for the task"));
        let radio = match controller {
            Ok(controller) => {
                spawner.spawn(station::task(controller, settings).expect("room for the task"));
                Some(Radio::new(stack))
            }
            Err(e) => {
                println!("no Wi-Fi: {e}");
                None
            }
        };
        if settings.ssid().is_empty() {
            println!("no network is set: set ssid NAME, set password WORDS, save, restart; or use Improv");
        }
        (Self { stack, slots }, radio)
    }

    /// Keeps the device connected until it is told to turn itself off.
    pub async fn run<D: Device>(self, board: Board, device: &mut D) -> Ended {
        let Self { stack, slots } = self;
        let settings = board.settings;
        let looked_up = settings.gateway() == Gateway::LookedUp;
        let gateway = match settings.gateway() {
            Gateway::At(gateway) => gateway,
            Gateway::LookedUp => wsdm_device::Gateway::new(LOOKED_UP, wsdm_protocol::PORT)
                .expect("a name that hosts can have")
                .with_token(settings.token()),
        };
        let mut client = Client {
            gateway,
            identity: Identity::new(settings.identifier(), board.address)
                .expect("neither is empty or long")
                .with_reset(Some(board.reset)),
            timing: Timing {
                silence: settings.silence_ms(),
                ..Timing::DEFAULT
            },
            // The radio is on, without which the chip's random numbers would be no good ones.
            dial: TlsDial::new(
                Dialler {
                    net: NetDial::new(stack),
                    stack,
                    board,
                    looked_up,
                },
                // A closure would be another type for each device, and TLS be in the image as often.
                random_number as fn() -> u32,
                settings.fingerprint(),
            ),
            clock: EmbassyClock,
            random: random_number,
            report: |now, report: &Report<'_>| board.report(now, report),
        };
        let mut memory = Memory::<2048, 1024>::new();
        let obey = async {
            loop {
                // Nobody dials before, and a console that wants quiet does not wait for it.
                stack.wait_config_up().await;
                let report = |now, report: &Report<'_>| board.report(now, report);
                let gone = stack.wait_config_down();
                let control = async |device: &mut D| client.run(&mut memory, device).await;
                let ended = board
                    .quiet
                    .obey(&EmbassyClock, device, report, gone, control)
                    .await;
                if let Some(ended) = ended {
                    return ended;
                }
            }
        };
        let updates = async {
            match slots {
                Some(slots) => updates::serve(stack, board, slots).await,
                None => core::future::pending().await,
            }
        };
        match select3(obey, watch(stack, board), updates).await {
            Either3::First(ended) => ended,
            Either3::Second(never) | Either3::Third(never) => never,
        }
    }
}

/// Of the chip's own generator.
fn random_number() -> u32 {
    Rng::new().random()
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Interface>) -> ! {
    runner.run().await
}

/// Tells the LED, and the console which address the board has.
async fn watch(stack: Stack<'static>, board: Board) -> Ended {
    loop {
        stack.wait_config_up().await;
        board.status.borrow_mut().network(true);
        if let Some(config) = stack.config_v4() {
            board.say(format_args!("network: {}", config.address));
        }
        stack.wait_config_down().await;
        board.status.borrow_mut().network(false);
        board.say(format_args!("network: gone"));
    }
}

/// TCP to the gateway that is set, or to one that is found.
struct Dialler {
    net: NetDial<'static>,
    stack: Stack<'static>,
    board: Board,
    looked_up: bool,
}

impl Dial for Dialler {
    type Stream<'s> = TcpSocket<'s>;

    async fn dial(&mut self, host: &str, port: u16) -> Result<TcpSocket<'_>, Loss<'static>> {
        if !self.looked_up {
            return self.net.dial(host, port).await;
        }
        let (address, port) = lookup::gateway(self.stack).await.ok_or(Loss::NotFound)?;
        self.board
            .say(format_args!("found a gateway at {address}:{port}"));
        let mut host = heapless::String::<15>::new();
        // No IPv4 address is longer.
        write!(host, "{address}").map_err(|_| Loss::Unreachable)?;
        self.net.dial(&host, port).await
    }

    async fn hang_up<'s>(socket: TcpSocket<'s>)
    where
        Self: 's,
    {
        <NetDial<'static> as Dial>::hang_up(socket).await;
    }
}
