// Stand-in for the part of the ESP32's core, from version 3 on, that knows what each pin is used for.
#pragma once

#include <stdint.h>

typedef enum { ESP32_BUS_TYPE_INIT, ESP32_BUS_TYPE_GPIO, ESP32_BUS_TYPE_LEDC, ESP32_BUS_TYPE_MAX } peripheral_bus_type_t;

bool perimanPinIsValid(uint8_t pin);
// Of LEDC, a ledc_channel_handle_t; null where the pin is used for something else.
void* perimanGetPinBus(uint8_t pin, peripheral_bus_type_t type);
