// Stand-in for what ESP-IDF says of the chip for which it compiles: only LEDC and the number of pins.
#pragma once

#if defined(CONFIG_IDF_TARGET_ESP32)
#define SOC_LEDC_CHANNEL_NUM 8
// Twice as many channels and timers, in two groups.
#define SOC_LEDC_SUPPORT_HS_MODE 1
#define SOC_LEDC_TIMER_BIT_WIDTH 20
#define SOC_GPIO_PIN_COUNT 40
#elif defined(CONFIG_IDF_TARGET_ESP32S2)
#define SOC_LEDC_CHANNEL_NUM 8
#define SOC_LEDC_TIMER_BIT_WIDTH 14
#define SOC_GPIO_PIN_COUNT 47
#elif defined(CONFIG_IDF_TARGET_ESP32S3)
#define SOC_LEDC_CHANNEL_NUM 8
#define SOC_LEDC_TIMER_BIT_WIDTH 14
#define SOC_GPIO_PIN_COUNT 49
#elif defined(CONFIG_IDF_TARGET_ESP32C3)
#define SOC_LEDC_CHANNEL_NUM 6
#define SOC_LEDC_TIMER_BIT_WIDTH 14
#define SOC_GPIO_PIN_COUNT 22
#elif defined(CONFIG_IDF_TARGET_ESP32C6)
#define SOC_LEDC_CHANNEL_NUM 6
#define SOC_LEDC_TIMER_BIT_WIDTH 20
#define SOC_GPIO_PIN_COUNT 31
#else
#error "the stand-in does not know this chip"
#endif
