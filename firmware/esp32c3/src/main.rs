//! A device of the Websocket Device Manager on an ESP32-C3. What it does is in `wsdm-device-esp32`.
#![no_std]
#![no_main]

use embassy_executor::Spawner;

// An update takes images of the same name: one without Wi-Fi could not be replaced by the next.
#[cfg(not(feature = "ble"))]
esp_bootloader_esp_idf::esp_app_desc!();
#[cfg(feature = "ble")]
esp_bootloader_esp_idf::esp_app_desc!(
    env!("CARGO_PKG_VERSION"),
    concat!(env!("CARGO_PKG_NAME"), "-ble"),
    esp_bootloader_esp_idf::BUILD_TIME,
    esp_bootloader_esp_idf::BUILD_DATE,
    esp_bootloader_esp_idf::ESP_IDF_COMPATIBLE_VERSION,
    esp_bootloader_esp_idf::MMU_PAGE_SIZE,
    0,
    u16::MAX,
    esp_bootloader_esp_idf::SECURE_VERSION
);

#[esp_rtos::main]
async fn main(spawner: Spawner) -> ! {
    wsdm_device_esp32::run(spawner).await
}
