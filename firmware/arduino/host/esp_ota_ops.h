// Stand-in for what ESP-IDF knows of the image that runs, on the host.
#pragma once

typedef int esp_err_t;
#define ESP_OK 0
#define ESP_FAIL (-1)

enum esp_ota_img_states_t { ESP_OTA_IMG_PENDING_VERIFY = 1, ESP_OTA_IMG_VALID = 2, ESP_OTA_IMG_UNDEFINED = -1 };
struct esp_partition_t {};

const esp_partition_t* esp_ota_get_running_partition();
// What a cable wrote has no state.
esp_err_t esp_ota_get_state_partition(const esp_partition_t* partition, esp_ota_img_states_t* state);
esp_err_t esp_ota_mark_app_valid_cancel_rollback();

// For the checks.
extern esp_ota_img_states_t hostImage;
// The chip begins: what the core does with an image on trial before setup().
void hostInitArduino();
