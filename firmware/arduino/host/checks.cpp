// What the library does with bytes, checked on this machine. What it makes of pins, checks_outputs.cpp checks.

#include "checks.h"

static int failures = 0;

void expect(const std::string& what, const std::string& found, const std::string& wanted) {
  if (found == wanted) return;
  failures++;
  printf("%s\n  found  %s\n  wanted %s\n", what.c_str(), found.c_str(), wanted.c_str());
}

void expect(const std::string& what, long found, long wanted) {
  expect(what, std::to_string(found), std::to_string(wanted));
}

// The numbers, for a comparison with those of the gateway.
static void numbers() {
  printf("keepalive min %u\nkeepalive max %u\n", WSDM_KEEPALIVE_MIN_MS, WSDM_KEEPALIVE_MAX_MS);
  printf("keepalives until stop %u\n", WSDM_KEEPALIVES_UNTIL_STOP);
  printf("ping %u\nwatchdog %u\ngone %u\nupgrade %u\n", WSDM_PING_MS, WSDM_WATCHDOG_MS, WSDM_GONE_MS, WSDM_UPGRADE_MS);
  printf("retry %u\nretry cap %u\nrefused %u\n", WSDM_RETRY_MS, WSDM_RETRY_CAP_MS, WSDM_REFUSED_MS);
  printf("lasted %u\ncalm %u\n", WSDM_LASTED_MS, WSDM_CALM_MS);
  printf("soft start %u\nsoft speed %u\nmax speed %u\n", WSDM_SOFT_START_MS, WSDM_SOFT_SPEED, WSDM_MAX_SPEED);
  printf("reversal %u\nstep max %u\nhello again %u\n", WSDM_REVERSAL_MS, WSDM_STEP_MAX_MS, WSDM_HELLO_AGAIN_MS);
  for (uint16_t code = 1000; code < 1016; code++) printf("refusal %u %u\n", code, wsdmIsRefusal(code));
  for (uint16_t code = 4000; code < 4016; code++) printf("refusal %u %u\n", code, wsdmIsRefusal(code));
}

// With any argument it prints the numbers, otherwise it checks.
int main(int count, char**) {
  if (count > 1) {
    numbers();
    return 0;
  }
  checkButton();
  checkLovense();
  checkTcode();
  checkSerial();
  checkWebsocket();
  checkNoise();
  printf(failures == 0 ? "all as it should be\n" : "%d failures\n", failures);
  return failures != 0;
}
