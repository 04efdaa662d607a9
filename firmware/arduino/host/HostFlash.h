// The flash of the stand-in: a file for each name in the folder that WSDM_HOST_FLASH names, so that it stays over a
// restart; without one, memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Whether there is something of that name, and how long it is.
bool hostFlashHas(const char* name, size_t& length);
size_t hostFlashRead(const char* name, uint8_t* bytes, size_t room);
// How many bytes were written before the power failed. What was there before is gone with the first.
size_t hostFlashWrite(const char* name, const uint8_t* bytes, size_t length);
bool hostFlashRename(const char* from, const char* to);

// For the checks: nothing is in memory any more.
void hostFlashErase();
// How many bytes can be written before the power fails; a rename takes one.
extern size_t hostFlashLeft;
