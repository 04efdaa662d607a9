//! Which manager has which device, by the UDCF in force.

use std::collections::HashMap;
use std::sync::Arc;

use buttplug_server_device_config::{DeviceConfigurationManager, UserDeviceIdentifier};
use tokio::time::{Instant, sleep};
use tracing::error;

use super::listed::Listing;
use super::shard::Shard;
use super::tcode::TcodeDevice;
use super::{ANNOUNCE_FOR, ANNOUNCE_PAUSE, Engine, lock, watch_library};
use crate::device::handshake::Address;
use crate::session::registry::SessionHandle;

/// A manager that may not get another device, and still lists the one that is to be placed.
struct Retired;

/// The UDCF in force.
pub(super) struct Given {
    /// As loaded. Devices are never added to it.
    pub(super) config: Arc<DeviceConfigurationManager>,
    /// The devices that it names, by address.
    named: HashMap<String, Vec<UserDeviceIdentifier>>,
}

impl Given {
    pub(super) fn new(config: Arc<DeviceConfigurationManager>) -> Self {
        let mut named: HashMap<_, Vec<_>> = HashMap::new();
        for device in config.user_device_definitions() {
            let id = device.key();
            named.entry(id.address().clone()).or_default().push(id.clone());
        }
        Self { config, named }
    }

    /// The entries for an address.
    pub(super) fn named(&self, address: &Address) -> &[UserDeviceIdentifier] {
        self.named.get(address.as_str()).map_or(&[], Vec::as_slice)
    }
}

/// Which manager has which address.
#[derive(Default)]
pub(super) struct Places {
    pub(super) shards: Vec<Arc<Shard>>,
    pub(super) homes: HashMap<Address, Home>,
}

/// An address that a session holds, or that the library still lists.
#[derive(Default)]
pub(super) struct Home {
    pub(super) live: Option<Live>,
    /// An address stays with the manager that knows it: a second manager would list it twice.
    pub(super) shard: Option<Arc<Shard>>,
    /// How many devices the table has under this address.
    pub(super) listed: usize,
}

/// A session that is connected to the engine.
pub(super) struct Live {
    pub(super) session: Arc<SessionHandle>,
    pub(super) listing: Arc<Listing>,
    pub(super) tcode: Option<Arc<TcodeDevice>>,
}

impl Places {
    pub(super) fn is_live(&self, session: &SessionHandle) -> bool {
        self.homes
            .get(&session.handshake.address)
            .and_then(|home| home.live.as_ref())
            .is_some_and(|live| live.session.connection == session.connection)
    }

    /// Removes an address that no session holds and no manager lists.
    pub(super) fn clear(&mut self, address: &Address) {
        let is_empty = |home: &Home| home.live.is_none() && home.listed == 0;
        if !self.homes.get(address).is_some_and(is_empty) {
            return;
        }
        if let Some(shard) = self.homes.remove(address).and_then(|home| home.shard) {
            self.leave(&shard, address);
        }
    }

    /// Removes an address from its manager, and the manager if that was its last one.
    fn leave(&mut self, shard: &Arc<Shard>, address: &Address) {
        shard.remove_member(address.as_str());
        if shard.is_over() {
            self.shards.retain(|other| !Arc::ptr_eq(other, shard));
        }
    }
}

impl Engine {
    /// Finds a manager for a device that is about to be announced: the first with room. `None` if its session has
    /// ended, or the library cannot start another manager.
    pub(super) async fn place(self: &Arc<Self>, session: &SessionHandle) -> Option<Arc<Shard>> {
        let deadline = Instant::now() + ANNOUNCE_FOR;
        loop {
            match self.try_place(session) {
                Ok(shard) => return shard,
                // The manager of an earlier UDCF still lists the address.
                Err(Retired) if Instant::now() < deadline => sleep(ANNOUNCE_PAUSE).await,
                Err(Retired) => return None,
            }
        }
    }

    fn try_place(self: &Arc<Self>, session: &SessionHandle) -> Result<Option<Arc<Shard>>, Retired> {
        let address = &session.handshake.address;
        let mut places = lock(&self.places);
        // Under the lock: a manager of an earlier UDCF would not be retired.
        let given = self.given();
        if !places.is_live(session) || !given.config.address_allowed(address.as_str()) {
            return Ok(None);
        }
        if let Some(home) = places.homes.get_mut(address)
            && let Some(shard) = home.shard.take_if(|shard| shard.is_retired())
        {
            if home.listed > 0 {
                home.shard = Some(shard);
                return Err(Retired);
            }
            places.leave(&shard, address);
        }
        let at_home = places.homes.get(address).and_then(|home| home.shard.clone());
        let shard = match at_home {
            Some(shard) => shard,
            None => {
                let with_room = places.shards.iter().find(|shard| shard.has_room());
                let shard = match with_room {
                    Some(shard) => shard.clone(),
                    None => match self.start_shard(&mut places, &given) {
                        Some(shard) => shard,
                        None => return Ok(None),
                    },
                };
                shard.add_member();
                if let Some(home) = places.homes.get_mut(address) {
                    home.shard = Some(shard.clone());
                }
                shard
            }
        };
        let is_member = |address: &str| {
            Address::new(address)
                .ok()
                .and_then(|address| places.homes.get(&address)?.shard.as_ref())
                .is_some_and(|home| Arc::ptr_eq(home, &shard))
        };
        let tcode = (places.homes.get(address)).and_then(|home| home.live.as_ref()?.tcode.as_deref());
        shard.prepare(given.named(address), &given.config, tcode, is_member);
        Ok(Some(shard))
    }

    fn start_shard(self: &Arc<Self>, places: &mut Places, given: &Given) -> Option<Arc<Shard>> {
        match Shard::start(&given.config) {
            Ok((shard, events)) => {
                let shard = Arc::new(shard);
                let watched = watch_library(Arc::downgrade(self), Arc::downgrade(&shard), events);
                self.runtime.spawn(watched);
                places.shards.push(shard.clone());
                Some(shard)
            }
            Err(e) => {
                error!("the Buttplug server did not start another device manager: {e}");
                None
            }
        }
    }
}
