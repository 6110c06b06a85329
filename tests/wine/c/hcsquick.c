/*
 * hcsquick.dll: what a mount and its release call of kernel32.dll, recorded, and with files that answer at once, for
 * Wine takes long for its own. A path that ends with an `x` (sandbox.vhdx) is a file, one that ends with an `m` (an
 * image) doesn't exist, all others are folders.
 */
#include "recorder.h"
#include <string.h>
#include <wchar.h>

static void record(const char *fn) {
  Call call = callOpen("kernel32", fn);
  callClose(&call);
}

static void recordPath(const char *fn, const wchar_t *path) {
  Call call = callOpen("kernel32", fn);
  argWide(&call, "path", path);
  callClose(&call);
}

DWORD WINAPI quickGetFileAttributesW(const wchar_t *path) {
  recordPath("GetFileAttributesW", path);
  wchar_t last = path[wcslen(path) - 1];
  if (last != 'm') return last == 'x' ? FILE_ATTRIBUTE_NORMAL : FILE_ATTRIBUTE_DIRECTORY;
  SetLastError(ERROR_FILE_NOT_FOUND);
  return INVALID_FILE_ATTRIBUTES;
}

static wchar_t opened[MAX_PATH];

HANDLE WINAPI quickCreateFileW(
  const wchar_t *path, DWORD access, DWORD share, SECURITY_ATTRIBUTES *security, DWORD disposition, DWORD flags,
  HANDLE template
) {
  (void)access, (void)share, (void)security, (void)disposition, (void)flags, (void)template;
  recordPath("CreateFileW", path);
  wcsncpy(opened, path, MAX_PATH - 1);
  return (HANDLE)8;
}

/* That of what was opened last: all is where its path says. */
DWORD WINAPI quickGetFinalPathNameByHandleW(HANDLE handle, wchar_t *path, DWORD units, DWORD flags) {
  (void)flags;
  record("GetFinalPathNameByHandleW");
  DWORD length = (DWORD)wcslen(opened) + 4;
  if (handle != (HANDLE)8 || length >= units) return 0;
  wcscpy(path, L"\\\\?\\");
  wcscpy(path + 4, opened);
  return length;
}

BOOL WINAPI quickCloseHandle(HANDLE handle) {
  record("CloseHandle");
  return handle == (HANDLE)8;
}

DWORD WINAPI quickGetLastError(void) {
  DWORD code = GetLastError();
  record("GetLastError");
  return code;
}

DWORD WINAPI quickFormatMessageW(
  DWORD flags, const void *source, DWORD code, DWORD language, wchar_t *text, DWORD units, va_list *arguments
) {
  record("FormatMessageW");
  return FormatMessageW(flags, source, code, language, text, units, arguments);
}

void *WINAPI quickLocalAlloc(UINT flags, SIZE_T bytes) {
  record("LocalAlloc");
  return LocalAlloc(flags, bytes);
}

void *WINAPI quickLocalFree(void *memory) {
  record("LocalFree");
  return LocalFree(memory);
}

void WINAPI quickRtlMoveMemory(void *to, const void *from, SIZE_T bytes) {
  record("RtlMoveMemory");
  memmove(to, from, bytes);
}
