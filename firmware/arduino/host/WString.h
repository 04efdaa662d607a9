// Stand-in for an Arduino core's String, on the host: what its WiFi library gives.
#pragma once

#include <string>

typedef std::string String;
