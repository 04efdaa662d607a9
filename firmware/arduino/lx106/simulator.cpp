// The simulator's calls, what runs before and instead of a sketch, and what the C library wants of a system.

#include "simulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum Call {
  EXIT = 1,
  READ = 3,
  WRITE = 4,
  OPEN = 5,
  CLOSE = 6,
  SELECT_ONE = 29,
  WORDS = 1000,
  WORDS_SIZE = 1001,
  READ_WORDS = 1002,
};

template <typename A = int, typename B = int, typename C = int>
static int simcall(Call call, A first = 0, B second = 0, C third = 0) {
  register int a2 asm("a2") = call;
  register A a3 asm("a3") = first;
  register B a4 asm("a4") = second;
  register C a5 asm("a5") = third;
  asm volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
  return a2;
}

int simOpen(const char* path, int mode) { return simcall(OPEN, path, mode, 0); }
int simRead(int file, void* bytes, size_t size) { return simcall(READ, file, bytes, size); }
int simWrite(int file, const void* bytes, size_t size) { return simcall(WRITE, file, bytes, size); }
void simClose(int file) { simcall(CLOSE, file); }

bool simWait(int file, SimEvent event, uint32_t microseconds) {
  const uint32_t time[2] = {microseconds / 1000000, microseconds % 1000000};
  return simcall(SELECT_ONE, file, event, time) == 1;
}

void simExit(int code) {
  simcall(EXIT, code);
  for (;;) {
  }
}

// The command line: a table of addresses that ends with a null, and behind it the texts.
static char* words[256];

const char* simSetting(const char* name) {
  const size_t length = strlen(name);
  for (char** word = words; *word; word++) {
    if (strncmp(*word, name, length) == 0 && (*word)[length] == '=') return *word + length + 1;
  }
  return nullptr;
}

// QEMU counts the cycles of a core of 40 MHz by the clock of the machine that it runs on, whatever the core does
// meanwhile. The register is full after 107 seconds; it is asked more often than that.
static const uint32_t CYCLES_A_MICROSECOND = 40;

uint64_t simClock() {
  static uint32_t last = 0;
  static uint64_t cycles = 0;
  uint32_t count;
  asm volatile("rsr %0, ccount" : "=r"(count));
  cycles += static_cast<uint32_t>(count - last);
  last = count;
  return cycles / CYCLES_A_MICROSECOND;
}

extern "C" uint32_t __stack_end[], __stack[];
// What the stack holds where it was not used yet.
static uint32_t untouched;

void simWatchStack() {
  static size_t most = 0;
  const uint32_t* reached = __stack_end;
  while (reached < __stack && *reached == untouched) reached++;
  if (reached == __stack_end) {
    puts("the stack is too small");
    simExit(5);
  }
  const size_t used = 4 * (__stack - reached);
  if (used <= most) return;
  most = used;
  printf("stack %u of %u bytes\n", used, 4 * (__stack - __stack_end));
}

int main(int count, char** words);

extern "C" {

extern void (*__init_array_start[])();
extern void (*__init_array_end[])();

// Memory is zero where the image says nothing.
[[noreturn]] void lx106Start(uint32_t stackHolds) {
  untouched = stackHolds;
  if (simcall(WORDS_SIZE) > static_cast<int>(sizeof(words))) abort();
  simcall(READ_WORDS, words);
  for (auto construct = __init_array_start; construct != __init_array_end; construct++) (*construct)();
  simExit(main(simcall(WORDS), words));
}

[[noreturn]] void lx106Failed(unsigned cause, void* where, void* address) {
  printf("the core failed: cause %u at %p, address %p\n", cause, where, address);
  simExit(3);
}

[[noreturn]] void _exit(int code) { simExit(code); }

[[noreturn]] void abort() {
  puts("aborted");
  simExit(4);
}

[[noreturn]] void __cxa_pure_virtual() { abort(); }
}

// What was printed of a line; it is written as a whole.
static char line[256];
static size_t length = 0;

static int writeLine(FILE*) {
  if (length > 0) simWrite(1, line, length);
  length = 0;
  return 0;
}

static int put(char byte, FILE* file) {
  line[length++] = byte;
  if (byte == '\n' || length == sizeof(line)) writeLine(file);
  return byte;
}

static FILE out = FDEV_SETUP_STREAM(put, nullptr, writeLine, _FDEV_SETUP_WRITE);
FILE* const stdout = &out;

static void* allocate(size_t size) {
  void* memory = malloc(size);
  if (!memory) abort();
  return memory;
}

void* operator new(size_t size) { return allocate(size); }
void* operator new[](size_t size) { return allocate(size); }
void operator delete(void* memory) { free(memory); }
void operator delete(void* memory, size_t) { free(memory); }
void operator delete[](void* memory) { free(memory); }
void operator delete[](void* memory, size_t) { free(memory); }
