//! The access point: kept, looked for, and changed when Improv says so. One task has the radio; everybody else asks it.

use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Timer, with_timeout};
use esp_hal::peripherals::WIFI;
use esp_println::println;
use esp_radio::wifi::scan::ScanConfig;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{
    self, AuthenticationMethod, AuthenticationMethodConfig, ConnectionError, ControllerConfig,
    DisconnectReason, PowerSaveMode, Ssid, WifiController, WifiError,
};
use heapless::String;
use wsdm_device_board::{NETWORKS_MAX, Network, Networks, Reported, Security, Settings, Trouble};

/// After a connection to the access point that ended, or came to none.
const AGAIN: Duration = Duration::from_secs(2);
/// For a new network: until the access point has taken the board, and until it has an address. Whoever provisions it
/// waits for half a minute.
const TAKEN_WITHIN: Duration = Duration::from_secs(12);
const ADDRESS_WITHIN: Duration = Duration::from_secs(10);

/// A network's name, and its password; empty for an open one.
#[derive(Clone)]
struct Credentials {
    ssid: String<32>,
    password: String<63>,
}

enum Request {
    Scan,
    Join(Credentials),
}

enum Answer {
    Networks(Networks),
    Joined(bool),
}

// One asks, and waits for its answer.
static REQUEST: Signal<CriticalSectionRawMutex, Request> = Signal::new();
static ANSWER: Signal<CriticalSectionRawMutex, Answer> = Signal::new();

/// The radio, as Improv sees it.
pub struct Radio {
    stack: Stack<'static>,
}

impl Radio {
    /// The radio under this network stack.
    pub const fn new(stack: Stack<'static>) -> Self {
        Self { stack }
    }

    async fn ask(&mut self, request: Request) -> Answer {
        ANSWER.reset();
        REQUEST.signal(request);
        ANSWER.wait().await
    }
}

impl wsdm_device_board::Radio for Radio {
    fn is_joined(&self) -> bool {
        self.stack.is_config_up()
    }

    async fn scan(&mut self) -> Networks {
        match self.ask(Request::Scan).await {
            Answer::Networks(networks) => networks,
            Answer::Joined(_) => Networks::new(),
        }
    }

    async fn join(&mut self, ssid: &str, password: &str) -> bool {
        let (Ok(ssid), Ok(password)) = (String::try_from(ssid), String::try_from(password)) else {
            return false;
        };
        let joined = self.ask(Request::Join(Credentials { ssid, password })).await;
        matches!(joined, Answer::Joined(true))
            && with_timeout(ADDRESS_WITHIN, self.stack.wait_config_up())
                .await
                .is_ok()
    }
}

/// The radio's driver, with the network that is set; it is not connected yet.
pub fn controller(radio: WIFI<'static>, settings: &Settings) -> Result<WifiController<'static>, WifiError> {
    let station = config(settings.ssid(), settings.password())?;
    let config = ControllerConfig::default().with_initial_config(wifi::Config::Station(station));
    let mut controller = WifiController::new(radio, config)?;
    // A radio that sleeps between beacons answers late, and the watchdog would stop outputs for it.
    controller.set_power_saving(PowerSaveMode::None)?;
    Ok(controller)
}

/// WPA2, or no password at all: this version of the radio's library has no WPA3, and anything older is no security.
fn config(ssid: &str, password: &str) -> Result<StationConfig, WifiError> {
    let authentication = match password {
        "" => AuthenticationMethodConfig::Open,
        password => AuthenticationMethodConfig::Wpa2Personal(password.try_into()?),
    };
    Ok(StationConfig::default()
        .with_ssid(ssid.try_into()?)
        .with_authentication(authentication))
}

/// Keeps the access point, for ever.
#[embassy_executor::task]
pub async fn task(mut controller: WifiController<'static>, settings: &'static Settings) -> ! {
    let mut reported = Reported::new();
    let mut network = match (
        String::try_from(settings.ssid()),
        String::try_from(settings.password()),
    ) {
        (Ok(ssid), Ok(password)) if !ssid.is_empty() => Some(Credentials { ssid, password }),
        _ => None,
    };
    loop {
        let keep = async {
            match &network {
                Some(network) => keep(&mut controller, network, &mut reported).await,
                None => core::future::pending().await,
            }
        };
        let request = match select(REQUEST.wait(), keep).await {
            Either::First(request) => request,
            Either::Second(never) => never,
        };
        match request {
            Request::Scan => {
                // The radio does not look round while it connects.
                if !controller.is_connected() {
                    let _ = controller.disconnect_async().await;
                }
                ANSWER.signal(Answer::Networks(scan(&mut controller).await));
            }
            Request::Join(wanted) => {
                let is_taken = join(&mut controller, &wanted).await;
                if is_taken {
                    reported.connected();
                    network = Some(wanted);
                } else if let Some(network) = &network {
                    let _ = join(&mut controller, network).await;
                }
                ANSWER.signal(Answer::Joined(is_taken));
            }
        }
    }
}

/// Joins a network that the board was told just now.
async fn join(controller: &mut WifiController<'static>, network: &Credentials) -> bool {
    let _ = controller.disconnect_async().await;
    let taken = async {
        let config = config(&network.ssid, &network.password).map_err(ConnectionError::WifiError)?;
        controller
            .set_config(&wifi::Config::Station(config))
            .map_err(ConnectionError::WifiError)?;
        controller.connect_async().await
    };
    match with_timeout(TAKEN_WITHIN, taken).await {
        Ok(Ok(_)) => true,
        Ok(Err(e)) => {
            let trouble = looked_at(controller, trouble(&e), network).await;
            println!("Wi-Fi: {trouble}");
            false
        }
        Err(_) => {
            let _ = controller.disconnect_async().await;
            println!("Wi-Fi: {}", Trouble::Refused);
            false
        }
    }
}

/// Connects whenever there is no connection, for ever. May be dropped at any time.
async fn keep(controller: &mut WifiController<'static>, network: &Credentials, reported: &mut Reported) -> ! {
    loop {
        if !controller.is_connected() {
            match controller.connect_async().await {
                Ok(connected) => {
                    reported.connected();
                    println!("Wi-Fi: connected to {}", connected.ssid.as_str().escape_debug());
                }
                Err(e) => {
                    let trouble = trouble(&e);
                    if reported.is_news(trouble) {
                        let trouble = looked_at(controller, trouble, network).await;
                        println!("Wi-Fi: {trouble}; the board goes on trying");
                    }
                }
            }
        }
        if controller.is_connected() && controller.wait_for_disconnect_async().await.is_ok() {
            println!("Wi-Fi: lost the access point");
        }
        Timer::after(AGAIN).await;
    }
}

/// Why a connection came to nothing.
fn trouble(e: &ConnectionError) -> Trouble {
    use DisconnectReason as Reason;
    match e {
        ConnectionError::Failed(info) => match info.reason {
            Reason::FourWayHandshakeTimeout
            | Reason::HandshakeTimeout
            | Reason::AuthenticationFailed
            | Reason::AuthenticationExpired
            | Reason::MicFailure
            | Reason::IeIn4wayDiffers => Trouble::Password,
            Reason::NoAccessPointFound => Trouble::NotFound,
            Reason::NoAccessPointFoundWithCompatibleSecurity
            | Reason::NoAccessPointFoundInAuthmodeThreshold
            | Reason::GroupCipherInvalid
            | Reason::PairwiseCipherInvalid
            | Reason::AkmpInvalid
            | Reason::UnsupportedRsnIeVersion
            | Reason::InvalidRsnIeCapabilities
            | Reason::CipherSuiteRejected
            | Reason::BadCipherOrAkm => Trouble::Security,
            _ => Trouble::Refused,
        },
        ConnectionError::WifiError(WifiError::InvalidPassword) => Trouble::Password,
        _ => Trouble::Radio,
    }
}

/// What it is, if a look at the networks of this name tells more.
async fn looked_at(
    controller: &mut WifiController<'static>,
    trouble: Trouble,
    network: &Credentials,
) -> Trouble {
    if !trouble.may_be_wpa3() {
        return trouble;
    }
    let Ok(ssid) = Ssid::try_from(network.ssid.as_str()) else {
        return trouble;
    };
    let config = ScanConfig::default().with_ssid(ssid).with_max(NETWORKS_MAX);
    let found = controller.scan_async(&config).await.unwrap_or_default();
    let security = found.iter().map(|found| match found.auth_method {
        Some(AuthenticationMethod::None) => Security::Open,
        Some(AuthenticationMethod::Wpa3Personal) => Security::Wpa3,
        _ => Security::Other,
    });
    trouble.with_found(!network.password.is_empty(), security)
}

async fn scan(controller: &mut WifiController<'static>) -> Networks {
    let config = ScanConfig::default().with_max(2 * NETWORKS_MAX);
    let mut networks = Networks::new();
    match controller.scan_async(&config).await {
        Ok(found) => {
            for found in found {
                networks.add(Network {
                    ssid: String::try_from(found.ssid.as_str()).unwrap_or_default(),
                    rssi: found.signal_strength,
                    is_open: found.auth_method == Some(AuthenticationMethod::None),
                });
            }
        }
        Err(e) => println!("Wi-Fi: the radio cannot look for networks: {e}"),
    }
    networks
}
