// TCode: what lines mean, and how axes move.

#include "checks.h"

static void lines() {
  const struct {
    const char* said;
    long stroke;
  } magnitudes[] = {
      {"L0500\n", 5000}, {"L05\n", 5000},    {"L005\n", 500},         {"L09999\n", 9999},
      {"l0000\n", 0},    {"L0999\r\n", 9990}, {"L01234567899999\n", 1234}, {"L00 L0999\n", 9990},
      {"L0999", 5000},   {"L0\n", 5000},     {"L\n", 5000},           {"X05\n", 5000},
      {"L09x\n", 5000},  {"L09I\n", 5000},   {"L09Ix\n", 5000},       {"L09S-1\n", 5000},
      {"L09I9999999999\n", 5000}, {"L1999\n", 5000}, {"L0999 DSTOP\n", 5000}, {"L09 \x1b[2J\n", 5000},
  };
  for (const auto& c : magnitudes) {
    Machine machine;
    machine.at(2999, machine.stroke);
    say(machine.device, c.said, 3000);
    expect(c.said, machine.at(3001, machine.stroke), c.stroke);
  }
  {
    Machine m;
    m.at(3000, m.stroke);
    say(m.device, "L00I1000 R00S10 V099I100\n", 3000);
    expect("half way", m.at(3500, m.stroke), 2500);
    expect("there", m.at(4000, m.stroke), 0);
    expect("half way at a speed", m.at(5500, m.twist), 2500);
    expect("there at a speed", m.at(8000, m.twist), 0);
    expect("a vibration that swells", m.at(8001, m.vibe), 9900);
    expect("is on", m.device.isOn(), 1);
    say(m.device, "V00\n", 8002);
    expect("is off", m.device.isOn(), 0);
    expect("what is over stays over", m.at(0xFFFFFFFF, m.stroke), 0);
  }
  {
    Machine m;
    m.at(3000, m.stroke);
    say(m.device, "L00I1000 V05\n", 3000);
    m.at(3500, m.stroke);
    say(m.device, "L0999 DSTOP\n", 3500);
    expect("holds", m.at(9000, m.stroke), 2500);
    expect("ends", m.at(9001, m.vibe), 0);
    expect("nothing is on", m.device.isOn(), 0);
  }
  {
    Machine m;
    expect("D0", say(m.device, "D0\n").substr(0, 11), "WsdmDevice-");
    expect("D1", say(m.device, "d1\r\n"), "TCode v0.3\n");
    expect("a range", say(m.device, "$L0-1000-9000 $V0-1-10000 $Q0-1-2 $L0 $\n"), "");
    expect("D2", say(m.device, "D2\n"), "L0 1000 9000 Stroke\nR0 0 9999 Twist\nV0 0 9999 Vibe0\n");
  }
  {
    Machine m(1000, 9000);
    m.at(3000, m.stroke);
    say(m.device, "L00\n", 3000);
    expect("the lower limit", m.at(3001, m.stroke), 1000);
    say(m.device, "L09999\n", 3002);
    expect("the upper limit", m.at(3003, m.stroke), 8999);
  }
  {
    Machine m(0, WSDM_FULL, 100);
    m.at(3000, m.stroke);
    say(m.device, "L00\n", 3000);
    expect("half a second for half the way", m.at(3250, m.stroke), 2500);
    expect("there", m.at(3500, m.stroke), 0);
  }
  {
    Machine m(0, WSDM_FULL, 0, true);
    say(m.device, "L00\n", 0);
    expect("softly at first", m.at(500, m.stroke), 2500);
    m.at(1999, m.stroke);
    say(m.device, "L09999 V09\n", 1999);
    expect("softly still", m.at(2099, m.stroke), 499);
    expect("a vibration need not be", m.at(2100, m.vibe), 9000);
    m.at(2200, m.stroke);
    say(m.device, "L09999\n", 2200);
    expect("and then as asked", m.at(2201, m.stroke), 9999);
    m.at(3000, m.stroke);
    m.device.stop(3000);
    say(m.device, "L00\n", 3000);
    expect("softly again when control was lost", m.at(3100, m.stroke), 9500);
  }
}

// A servo is moved when it is told to, never in leaps, and not by a stop.
static void stroke() {
  {
    Level place;
    WsdmAxis axes[] = {{"L0", place}, {"R0", place}};
    WsdmTcode device(axes);
    device.begin(0);
    device.tick(1000);
    say(device, "R1 D2 DSTOP\n", 1000);
    device.stop(1500);
    device.tick(2000);
    expect("no pulse before the first move", place.level, 0xFFFF);
    say(device, "L05\n", 2000);
    expect("the place where it is believed to be is told too", place.level, 5000);
  }
  for (uint16_t limit : {0, 100}) {
    Machine m(0, WSDM_FULL, limit);
    m.at(3000, m.stroke);
    say(m.device, "L00I2000 V05I2000\n", 3000);
    expect("under way", m.at(3400, m.stroke), 4000);
    m.device.stop(13400);
    expect("a stop after the sketch stood still moves nothing", m.stroke.level, 4000);
    expect("but for what it ends", m.vibe.level, 0);
    expect("nor later", m.at(13500, m.stroke), 4000);
    say(m.device, "L00I1000\n", 13500);
    m.at(14000, m.stroke);
    const long before = m.stroke.level;
    m.device.tick(24000);
    // 50 ms of 4,000 in a second.
    expect("a sketch that stood still goes on without a leap", before - m.stroke.level, 200);
  }
  {
    Level place;
    Level other;
    WsdmAxis axes[] = {{"L0", place}, {"R0", other, 0, WSDM_FULL, 0}};
    WsdmTcode device(axes);
    device.begin(0);
    say(device, "L05\n", 0);
    for (uint32_t now = 1; now <= 3000; now++) device.tick(now);
    say(device, "R00\n", 3000);
    device.tick(3010);
    expect("softly at first, each of them", other.level, 4950);
    device.tick(3000);
    for (uint32_t now = 3011; now <= 6000; now++) device.tick(now);
    say(device, "L05\n", 6000);
    say(device, "L00\n", 6000);
    for (uint32_t now = 6000; now <= 6100; now++) device.tick(now);
    expect("two ranges a second at most, where nothing else is said", place.level, 3000);
  }
  {
    // The clock begins anew after 49 days.
    const uint32_t start = 0xFFFFFFFF - 499;
    Level place, vibe;
    WsdmAxis axes[] = {{"L0", place, 0, WSDM_FULL, 0}, {"V0", vibe}};
    WsdmTcode device(axes);
    device.begin(start - 3000);
    say(device, "L05\n", start - 3000);
    for (uint32_t now = start - 3000; now != start; now++) device.tick(now);
    say(device, "L00I1000 V09I1000\n", start);
    for (uint32_t now = start; now != 0; now++) device.tick(now);
    device.tick(0);
    expect("half way when the clock begins anew", place.level, 2500);
    expect("and a strength", vibe.level, 4500);
    for (uint32_t now = 0; now <= 500; now++) device.tick(now);
    expect("there after it", place.level, 0);
    expect("and a strength there", vibe.level, 9000);
    device.stop(501);
    expect("and stopped", vibe.level, 0);
  }
}

// What is off is switched off again: nobody knows better than the pin itself what it shows.
static void stops() {
  Machine m;
  m.at(3000, m.stroke);
  say(m.device, "L03I100 V05\n", 3000);
  m.at(4000, m.stroke);
  m.device.stop(4000);
  for (uint8_t i = 0; i < 3; i++) {
    m.vibe.disturb();
    m.device.stop(4001 + i);
    expect("a stop is written whatever it was", m.vibe.level, 0);
  }
  for (const char* off : {"DSTOP\n", "V00\n", "V0000I500\n"}) {
    m.vibe.disturb();
    say(m.device, off, 5000);
    expect("off is written whatever it was: " + std::string(off), m.at(5600, m.vibe), 0);
  }
  expect("a place stays", m.stroke.level, 3000);
  Machine fresh(0, WSDM_FULL, 0, true);
  fresh.stroke.disturb();
  fresh.device.stop(0);
  expect("a place that was never asked for is not written", fresh.stroke.level, 7777);
}

void checkTcode() {
  lines();
  stops();
  stroke();
}
