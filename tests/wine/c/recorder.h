/* What every recording DLL is made of. See recorder.c. */
#ifndef HCS_RECORDER_H
#define HCS_RECORDER_H

#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <stdbool.h>
#include <stdint.h>

#define EXPORT __declspec(dllexport)
#ifdef BUILDING_RECORDER
#define SHARED __declspec(dllexport)
#else
#define SHARED __declspec(dllimport)
#endif

/* The inside of a JSON object, as it grows. */
typedef struct {
  char *text;
  size_t length, capacity;
} Text;

/* One native call under way. Lives on the stack of the function called. */
typedef struct {
  const char *dll, *fn;
  Text args, out, raw;
  HRESULT hr;
  bool quiet, wantsRaw;
} Call;

/* Starts a call, and waits while it is held. Then put its arguments, ask callFails, put what it gives back, close it. */
SHARED Call callOpen(const char *dll, const char *fn);
/* Counts the call, and says whether it has been told to fail; then .hr says how. */
SHARED bool callFails(Call *call);
/* Appends the call to the trace, and returns .hr. */
SHARED HRESULT callClose(Call *call);

SHARED void argWide(Call *call, const char *key, const wchar_t *value);
SHARED void argNumber(Call *call, const char *key, uint64_t value);
/* null or "non-null": the address itself says nothing. */
SHARED void argPointer(Call *call, const char *key, const void *value);
/* Starts an argument that the caller writes itself, with textAdd. */
SHARED void argKey(Call *call, const char *key);
/* Adds the bytes of a struct or buffer, where RecorderRaw asked for them. */
SHARED void argRaw(Call *call, const char *key, const void *bytes, size_t size);

SHARED void outWide(Call *call, const char *key, const wchar_t *value);
SHARED void outNumber(Call *call, const char *key, uint64_t value);
SHARED void outGuid(Call *call, const char *key, const uint8_t *guid);

/* Appends ASCII text, or a wide string as JSON; nothing in a quiet call. */
SHARED void textAdd(Call *call, Text *text, const char *format, ...);
SHARED void textWide(Call *call, Text *text, const wchar_t *value);

/* The stand-in for a GUID made of a name (prefix + name): FNV-1a twice, not Microsoft's algorithm. */
SHARED void guidOf(const wchar_t *prefix, const wchar_t *name, uint8_t guid[16]);
/* The text of a GUID in memory order: 36 characters and the NUL. */
SHARED void guidText(const uint8_t guid[16], wchar_t text[37]);

/* Volumes that are there, by the text of their GUIDs, and the files that handles of disks stand for (NULL: none). */
SHARED void volumeSet(const wchar_t *guid, bool there);
SHARED bool volumeIsThere(const wchar_t *guid);
SHARED void diskSet(HANDLE handle, const wchar_t *path);
SHARED const wchar_t *diskPath(HANDLE handle);

#endif
