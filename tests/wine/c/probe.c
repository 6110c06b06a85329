/* probe.dll: what the tests of strings, memory, threads and errors call. It records nothing. */
#include "recorder.h"
#include <wchar.h>

/* Copies as many units as fit, and returns how many there are before the NUL. */
EXPORT uint32_t EchoWide(const wchar_t *string, wchar_t *out, uint32_t capacity) {
  uint32_t units = string ? (uint32_t)wcslen(string) : 0;
  if (out) wmemcpy(out, string, units < capacity ? units : capacity);
  return units;
}

/* Sleeps first, so that the buffer has to outlive a garbage collection. FNV-1a, 32 bits. */
EXPORT uint32_t ChecksumSlow(const uint8_t *buffer, uint32_t length, uint32_t milliseconds) {
  uint32_t hash = 0x811c9dc5u;
  Sleep(milliseconds);
  while (length--) hash = (hash ^ *buffer++) * 0x01000193u;
  return hash;
}

/* Says in flags[0] that it has begun, and runs on until flags[1] is set. */
EXPORT uint32_t RunUntilSet(volatile uint8_t *flags) {
  flags[0] = 1;
  while (!flags[1]) Sleep(1);
  return 42;
}

EXPORT BOOL FailWith(uint32_t code) {
  SetLastError(code);
  return FALSE;
}

EXPORT uint32_t ThreadId(void) { return GetCurrentThreadId(); }
