/*
 * offreg.dll: a hive is any file that is there. What is merged is recorded, and nothing else; a hive that is saved is a file with
 * a text, which must not be there before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include "recorder.h"

/* All of them return a Win32 code. */
static DWORD closeCall(Call *call) { return (DWORD)callClose(call) & 0xffff; }

EXPORT DWORD OROpenHive(const wchar_t *path, void **hive) {
  Call call = callOpen("offreg", "OROpenHive");
  argWide(&call, "path", path);
  if (!callFails(&call)) {
    if (GetFileAttributesW(path) == INVALID_FILE_ATTRIBUTES) call.hr = HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND);
    else *hive = malloc(1);
  }
  return closeCall(&call);
}

EXPORT DWORD ORMergeHives(void **hives, uint32_t count, void **merged) {
  Call call = callOpen("offreg", "ORMergeHives");
  argNumber(&call, "count", count);
  for (uint32_t i = 0; i < count; i++) {
    char key[16];
    snprintf(key, sizeof key, "hive%u", (unsigned)i);
    argPointer(&call, key, hives[i]);
  }
  if (!callFails(&call)) *merged = malloc(1);
  return closeCall(&call);
}

EXPORT DWORD ORSaveHive(void *hive, const wchar_t *path, uint32_t major, uint32_t minor) {
  Call call = callOpen("offreg", "ORSaveHive");
  argPointer(&call, "hive", hive);
  argWide(&call, "path", path);
  argNumber(&call, "major", major);
  argNumber(&call, "minor", minor);
  if (!callFails(&call)) {
    FILE *file = _wfopen(path, L"wbx");
    if (file) {
      fputs("merged", file);
      fclose(file);
    } else {
      call.hr = HRESULT_FROM_WIN32(ERROR_FILE_EXISTS);
    }
  }
  return closeCall(&call);
}

EXPORT DWORD ORCloseHive(void *hive) {
  Call call = callOpen("offreg", "ORCloseHive");
  argPointer(&call, "hive", hive);
  callFails(&call);
  free(hive);
  return closeCall(&call);
}
