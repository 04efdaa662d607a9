// Stand-in for the pulses that the ESP8266's core makes.
#pragma once

#include <stdint.h>

int startWaveform(uint8_t pin, uint32_t highUs, uint32_t lowUs, uint32_t runUs);
int stopWaveform(uint8_t pin);
