// All that a person or a web page does to set a board up, checked. CHECKS_IN_A_SIMULATOR leaves out what needs a flash and a
// network.

#include "checks_settings.h"

int failures = 0;

int main() {
  settings();
  improv();
  search();
#if !defined(CHECKS_IN_A_SIMULATOR)
  store();
  connections();
  network();
  boards();
  updates();
#endif
  printf(failures == 0 ? "all as it should be\n" : "%d failures\n", failures);
  return failures != 0;
}
