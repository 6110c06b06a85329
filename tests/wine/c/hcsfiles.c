/*
 * hcsfiles.dll: kernel32's file functions as the benchmark needs them: they answer at once, and every folder of layers
 * exists. A path that ends with an `x` (sandbox.vhdx) is a file, one that ends with an `m` (an image) doesn't exist.
 */
#include "recorder.h"
#include <wchar.h>

static Call open(const char *fn, const wchar_t *path) {
  Call call = callOpen("kernel32", fn);
  argWide(&call, "path", path);
  return call;
}

DWORD WINAPI quickGetFileAttributesW(const wchar_t *path) {
  Call call = open("GetFileAttributesW", path);
  wchar_t last = path[wcslen(path) - 1];
  DWORD attributes = last == 'x' ? FILE_ATTRIBUTE_NORMAL : FILE_ATTRIBUTE_DIRECTORY;
  callClose(&call);
  if (last != 'm') return attributes;
  SetLastError(ERROR_FILE_NOT_FOUND);
  return INVALID_FILE_ATTRIBUTES;
}

HANDLE WINAPI quickCreateFileW(
  const wchar_t *path, DWORD access, DWORD share, SECURITY_ATTRIBUTES *security, DWORD disposition, DWORD flags,
  HANDLE template
) {
  (void)access, (void)share, (void)security, (void)disposition, (void)flags, (void)template;
  Call call = open("CreateFileW", path);
  callClose(&call);
  return (HANDLE)8;
}

BOOL WINAPI quickCloseHandle(HANDLE handle) {
  Call call = callOpen("kernel32", "CloseHandle");
  argNumber(&call, "handle", (uintptr_t)handle);
  callClose(&call);
  return TRUE;
}
