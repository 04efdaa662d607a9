// What QEMU's Xtensa simulator does for the program in it, with -semihosting: its files are those of the machine that
// it runs on.

#pragma once

#include <stddef.h>
#include <stdint.h>

// What to wait for at a file.
enum SimEvent { SIM_READABLE = 1, SIM_WRITABLE = 2, SIM_EXCEPTION = 3 };
// How to open one, as Linux counts.
enum SimMode { SIM_READ_ONLY = 0, SIM_WRITE_ONLY = 1, SIM_NONBLOCK = 04000 };

// These return less than 0 if they fail.
int simOpen(const char* path, int mode);
int simRead(int file, void* bytes, size_t size);
int simWrite(int file, const void* bytes, size_t size);
void simClose(int file);
// Whether it happens within this time.
bool simWait(int file, SimEvent event, uint32_t microseconds);
[[noreturn]] void simExit(int code);
// What follows NAME= in a word of the command line (-semihosting-config arg=NAME=VALUE), or null.
const char* simSetting(const char* name);
// Microseconds since the start.
uint64_t simClock();
// Prints how much of the stack was ever used, when it has become more; ends the program if that was all of it.
void simWatchStack();
