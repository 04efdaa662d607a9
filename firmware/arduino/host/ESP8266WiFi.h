// The ESP8266's name for it.
#pragma once

#include "WiFi.h"
