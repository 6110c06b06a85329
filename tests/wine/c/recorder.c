/*
 * hcsrecorder.dll: the one trace that all recording DLLs of a process write to, so that the order of calls
 * across DLLs is kept, and the switches by which a test steers them. The other DLLs forward the Recorder… exports
 * here, so a test that may only open one of them can use them too.
 *
 * A call is appended when it returns. Its line is
 *   {"dll":…,"fn":…,"args":{…},"out":{…},"hr":"0x…","thread":…,"raw":{…}}
 * with out only where it gave something back, and raw only where RecorderRaw asked for it.
 *
 * For tests in another process: HCS_RECORD_FILE names a file that each line is appended to at once, so that it is
 * there after the process was killed; HCS_RECORD_FAIL is a first RecorderFail.
 */
#define BUILDING_RECORDER
#include "recorder.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME 64
#define MAX_FUNCTIONS 256
#define MAX_FAILURES 256

typedef struct {
  char fn[MAX_NAME];
  unsigned nth; /* from 1; 0 = every call */
  uint32_t hr;
} Failure;

static SRWLOCK lock = SRWLOCK_INIT;
static CONDITION_VARIABLE letGo = CONDITION_VARIABLE_INIT;
/* All below only under the lock; but for quiet and wantsRaw, which are read without. */
static Text trace;
static struct {
  char fn[MAX_NAME];
  unsigned calls;
} counts[MAX_FUNCTIONS];
static size_t countsUsed;
static Failure failures[MAX_FAILURES];
static size_t failuresUsed;
static char held[MAX_NAME];
static unsigned waiting;
static HANDLE file = INVALID_HANDLE_VALUE;
static volatile LONG quiet, wantsRaw;

/* ---- text ---- */

static void append(Text *text, const char *bytes, size_t length) {
  if (text->length + length > text->capacity) {
    size_t capacity = (text->length + length) * 2 + 256;
    char *grown = realloc(text->text, capacity);
    if (!grown) abort();
    text->text = grown;
    text->capacity = capacity;
  }
  memcpy(text->text + text->length, bytes, length);
  text->length += length;
}

static void appendf(Text *text, const char *format, va_list arguments) {
  char small[512]; /* keys and numbers only: long values go through textWide */
  int length = vsnprintf(small, sizeof small, format, arguments);
  if (length > 0) append(text, small, (size_t)length < sizeof small ? (size_t)length : sizeof small - 1);
}

static void addf(Text *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  appendf(text, format, arguments);
  va_end(arguments);
}

void textAdd(Call *call, Text *text, const char *format, ...) {
  if (call->quiet) return;
  va_list arguments;
  va_start(arguments, format);
  appendf(text, format, arguments);
  va_end(arguments);
}

/* Every unit beyond plain ASCII is escaped, so pairs and lone surrogates come through as they are. */
void textWide(Call *call, Text *text, const wchar_t *value) {
  if (call->quiet) return;
  if (!value) {
    append(text, "null", 4);
    return;
  }
  append(text, "\"", 1);
  for (; *value; value++) {
    unsigned unit = *value;
    if (unit == '"' || unit == '\\') addf(text, "\\%c", unit);
    else if (unit < 0x20 || unit > 0x7e) addf(text, "\\u%04x", unit);
    else append(text, (const char[]){(char)unit}, 1);
  }
  append(text, "\"", 1);
}

static void key(Call *call, Text *text, const char *name) {
  textAdd(call, text, "%s\"%s\":", text->length ? "," : "", name);
}

/* ---- GUIDs ---- */

static uint64_t fnv1a(uint64_t hash, const wchar_t *units) {
  for (; *units; units++) {
    hash = (hash ^ (*units & 0xff)) * 0x100000001b3ull;
    hash = (hash ^ (*units >> 8)) * 0x100000001b3ull;
  }
  return hash;
}

void guidOf(const wchar_t *prefix, const wchar_t *name, uint8_t guid[16]) {
  const uint64_t basis = 0xcbf29ce484222325ull;
  uint64_t halves[2] = {
    fnv1a(fnv1a(basis, prefix), name),
    fnv1a(fnv1a(basis ^ 0x9e3779b97f4a7c15ull, prefix), name),
  };
  memcpy(guid, halves, 16);
  guid[7] = (guid[7] & 0x0f) | 0x50;
  guid[8] = (guid[8] & 0x3f) | 0x80;
}

void guidText(const uint8_t guid[16], wchar_t text[37]) {
  static const uint8_t order[] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  static const wchar_t digits[] = L"0123456789abcdef";
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *text++ = '-';
    *text++ = digits[guid[order[i]] >> 4];
    *text++ = digits[guid[order[i]] & 15];
  }
  *text = 0;
}

/* ---- arguments and results ---- */

void argKey(Call *call, const char *name) { key(call, &call->args, name); }

void argWide(Call *call, const char *name, const wchar_t *value) {
  argKey(call, name);
  textWide(call, &call->args, value);
}

void argNumber(Call *call, const char *name, uint64_t value) {
  argKey(call, name);
  textAdd(call, &call->args, "%llu", value);
}

void argPointer(Call *call, const char *name, const void *value) {
  argKey(call, name);
  textAdd(call, &call->args, value ? "\"non-null\"" : "null");
}

void argRaw(Call *call, const char *name, const void *bytes, size_t size) {
  if (call->quiet || !call->wantsRaw) return;
  key(call, &call->raw, name);
  if (!bytes) {
    append(&call->raw, "null", 4);
    return;
  }
  append(&call->raw, "\"", 1);
  for (size_t i = 0; i < size; i++) addf(&call->raw, "%02x", ((const uint8_t *)bytes)[i]);
  append(&call->raw, "\"", 1);
}

void outWide(Call *call, const char *name, const wchar_t *value) {
  key(call, &call->out, name);
  textWide(call, &call->out, value);
}

void outNumber(Call *call, const char *name, uint64_t value) {
  key(call, &call->out, name);
  textAdd(call, &call->out, "%llu", value);
}

void outGuid(Call *call, const char *name, const uint8_t *guid) {
  wchar_t text[37];
  guidText(guid, text);
  outWide(call, name, text);
  argRaw(call, name, guid, 16);
}

/* ---- calls ---- */

Call callOpen(const char *dll, const char *fn) {
  Call call = {.dll = dll, .fn = fn, .quiet = quiet != 0, .wantsRaw = wantsRaw != 0};
  if (call.quiet) return call;
  AcquireSRWLockExclusive(&lock);
  waiting++;
  while (!strcmp(held, fn)) SleepConditionVariableSRW(&letGo, &lock, INFINITE, 0);
  waiting--;
  ReleaseSRWLockExclusive(&lock);
  return call;
}

static unsigned count(const char *fn) {
  size_t i = 0;
  while (i < countsUsed && strcmp(counts[i].fn, fn)) i++;
  if (i == MAX_FUNCTIONS) abort();
  if (i == countsUsed) {
    snprintf(counts[i].fn, MAX_NAME, "%s", fn);
    counts[i].calls = 0;
    countsUsed++;
  }
  return ++counts[i].calls;
}

bool callFails(Call *call) {
  if (call->quiet) return false;
  bool fails = false;
  AcquireSRWLockExclusive(&lock);
  unsigned nth = count(call->fn);
  for (size_t i = 0; i < failuresUsed && !fails; i++) {
    Failure *failure = &failures[i];
    if (strcmp(failure->fn, call->fn) || (failure->nth && failure->nth != nth)) continue;
    call->hr = (HRESULT)failure->hr;
    fails = true;
  }
  ReleaseSRWLockExclusive(&lock);
  return fails;
}

HRESULT callClose(Call *call) {
  if (!call->quiet) {
    Text line = {0};
    addf(&line, "{\"dll\":\"%s\",\"fn\":\"%s\",\"args\":{", call->dll, call->fn);
    append(&line, call->args.text, call->args.length);
    if (call->out.length) {
      append(&line, "},\"out\":{", 9);
      append(&line, call->out.text, call->out.length);
    }
    addf(&line, "},\"hr\":\"0x%08x\",\"thread\":%lu", (unsigned)call->hr, GetCurrentThreadId());
    if (call->raw.length) {
      append(&line, ",\"raw\":{", 8);
      append(&line, call->raw.text, call->raw.length);
      append(&line, "}", 1);
    }
    append(&line, "}\n", 2);
    AcquireSRWLockExclusive(&lock);
    append(&trace, line.text, line.length);
    DWORD written;
    if (file != INVALID_HANDLE_VALUE) WriteFile(file, line.text, (DWORD)line.length, &written, NULL);
    ReleaseSRWLockExclusive(&lock);
    free(line.text);
  }
  free(call->args.text);
  free(call->out.text);
  free(call->raw.text);
  return call->hr;
}

/* ---- the switches ---- */

/* Takes a list like `PrepareLayer#1=0x80070015,NameToGuid#*=0x8007001f` in place of the last one. FALSE, and
 * nothing changed, where it is not such a list. NULL or an empty one: nothing fails. */
EXPORT BOOL RecorderFail(const wchar_t *spec) {
  Failure parsed[MAX_FAILURES];
  size_t used = 0;
  while (spec && *spec) {
    Failure *failure = &parsed[used];
    size_t length = 0;
    if (used++ == MAX_FAILURES) return FALSE;
    for (; *spec && *spec != '#'; spec++) {
      if (length == MAX_NAME - 1) return FALSE;
      failure->fn[length++] = (char)*spec;
    }
    failure->fn[length] = 0;
    if (!length || *spec++ != '#') return FALSE;
    wchar_t *end = (wchar_t *)spec + 1;
    failure->nth = 0;
    if (*spec != '*' && !(failure->nth = wcstoul(spec, &end, 10))) return FALSE;
    if (*end++ != '=') return FALSE;
    spec = end;
    failure->hr = wcstoul(spec, &end, 16);
    if (end == spec) return FALSE;
    spec = end;
    if (*spec && (*spec++ != ',' || !*spec)) return FALSE;
  }
  AcquireSRWLockExclusive(&lock);
  memcpy(failures, parsed, used * sizeof *parsed);
  failuresUsed = used;
  ReleaseSRWLockExclusive(&lock);
  return TRUE;
}

/* Every call of this function from now on waits, until RecorderLetGo, and looks at its arguments only then. One function
 * at a time. */
EXPORT void RecorderHold(const wchar_t *fn) {
  AcquireSRWLockExclusive(&lock);
  size_t i = 0;
  for (; fn && fn[i] && i < MAX_NAME - 1; i++) held[i] = (char)fn[i];
  held[i] = 0;
  ReleaseSRWLockExclusive(&lock);
  WakeAllConditionVariable(&letGo);
}

EXPORT void RecorderLetGo(void) { RecorderHold(NULL); }

/* How many calls are waiting just now: so a test knows that a held call has arrived. */
EXPORT uint32_t RecorderHeld(void) {
  AcquireSRWLockExclusive(&lock);
  uint32_t calls = waiting;
  ReleaseSRWLockExclusive(&lock);
  return calls;
}

/* A quiet recorder only answers: it records, counts, holds and fails nothing. */
EXPORT void RecorderQuiet(int on) { quiet = on; }

EXPORT void RecorderRaw(int on) { wantsRaw = on; }

/* Forgets all: trace, counts, failures, holds, quiet and raw. */
EXPORT void RecorderReset(void) {
  AcquireSRWLockExclusive(&lock);
  trace.length = countsUsed = failuresUsed = 0;
  quiet = wantsRaw = 0;
  ReleaseSRWLockExclusive(&lock);
  RecorderLetGo();
}

/* Returns the size of the trace in bytes (UTF-8, one JSON object a line, no NUL), and copies it where it fits. */
EXPORT uint32_t RecorderTrace(char *buffer, uint32_t size) {
  AcquireSRWLockExclusive(&lock);
  uint32_t needed = (uint32_t)trace.length;
  if (buffer && needed && needed <= size) memcpy(buffer, trace.text, needed);
  ReleaseSRWLockExclusive(&lock);
  return needed;
}

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, void *reserved) {
  (void)instance, (void)reserved;
  if (reason != DLL_PROCESS_ATTACH) return TRUE;
  static wchar_t value[4096];
  DWORD length = GetEnvironmentVariableW(L"HCS_RECORD_FILE", value, 4096);
  if (length && length < 4096) {
    file = CreateFileW(value, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS, 0, NULL);
    /* A test that would look for its lines in vain is worse than one that does not start. */
    if (file == INVALID_HANDLE_VALUE) return FALSE;
  }
  length = GetEnvironmentVariableW(L"HCS_RECORD_FAIL", value, 4096);
  return !length || (length < 4096 && RecorderFail(value));
}

/*
 * What DLLs tell each other. The system uses the numbers of closed handles again: the last disk of a handle counts.
 * Entries stay for the life of the process, as their texts are handed out.
 */
typedef struct Entry {
  struct Entry *next;
  HANDLE handle;
  bool there;
  wchar_t text[];
} Entry;

static SRWLOCK entriesLock = SRWLOCK_INIT;
static Entry *volumes, *disks;

static Entry *entryAdd(Entry **list, HANDLE handle, const wchar_t *text) {
  size_t size = (wcslen(text) + 1) * sizeof *text;
  Entry *entry = malloc(sizeof *entry + size);
  if (!entry) abort();
  entry->next = *list;
  entry->handle = handle;
  entry->there = false;
  memcpy(entry->text, text, size);
  return *list = entry;
}

/* Under the lock. */
static Entry *volumeFind(const wchar_t *guid) {
  Entry *at = volumes;
  while (at && _wcsnicmp(at->text, guid, 36)) at = at->next;
  return at;
}

void volumeSet(const wchar_t *guid, bool there) {
  AcquireSRWLockExclusive(&entriesLock);
  Entry *entry = volumeFind(guid);
  if (!entry) entry = entryAdd(&volumes, NULL, guid);
  entry->there = there;
  ReleaseSRWLockExclusive(&entriesLock);
}

bool volumeIsThere(const wchar_t *guid) {
  AcquireSRWLockShared(&entriesLock);
  Entry *entry = volumeFind(guid);
  bool there = entry && entry->there;
  ReleaseSRWLockShared(&entriesLock);
  return there;
}

void diskSet(HANDLE handle, const wchar_t *path) {
  AcquireSRWLockExclusive(&entriesLock);
  Entry *known = NULL;
  for (Entry *at = disks; at; at = at->next) {
    if (at->handle == handle && !wcscmp(at->text, path)) known = at;
    else if (at->handle == handle) at->there = false;
  }
  if (!known) known = entryAdd(&disks, handle, path);
  known->there = true;
  ReleaseSRWLockExclusive(&entriesLock);
}

const wchar_t *diskPath(HANDLE handle) {
  AcquireSRWLockShared(&entriesLock);
  Entry *at = disks;
  while (at && !(at->there && at->handle == handle)) at = at->next;
  ReleaseSRWLockShared(&entriesLock);
  return at ? at->text : NULL;
}
