/*
 * cycle.exe CYCLES LAYERS [FOLDER]: the native calls of one mount and release, in a plain C loop, against the quiet
 * recorder. What it prints is the floor that the benchmark of the TypeScript side is compared with.
 */
#include "recorder.h"
#include "vmcompute.h"
#include <stdio.h>
#include <stdlib.h>

#define CALL(name, ...) __declspec(dllimport) HRESULT name(__VA_ARGS__)
CALL(ActivateLayer, const DriverInfo *info, const wchar_t *id);
CALL(DeactivateLayer, const DriverInfo *info, const wchar_t *id);
CALL(PrepareLayer, const DriverInfo *info, const wchar_t *id, const LayerDescriptor *layers, size_t layerCount);
CALL(UnprepareLayer, const DriverInfo *info, const wchar_t *id);
CALL(GetLayerMountPath, const DriverInfo *info, const wchar_t *id, size_t *length, wchar_t *buffer);
CALL(NameToGuid, const wchar_t *name, uint8_t *guid);
__declspec(dllimport) void RecorderQuiet(int on);

#define MAX_LAYERS 128
static wchar_t folders[MAX_LAYERS + 1][MAX_PATH]; /* the last one is the scratch folder */
static wchar_t disk[MAX_PATH];
static LayerDescriptor layers[MAX_LAYERS];
static const DriverInfo info = {1, L""};

static void check(HRESULT hr, const char *what) {
  if (hr >= 0) return;
  fprintf(stderr, "%s: 0x%08lx\n", what, hr);
  exit(1);
}

static void prepareFolders(const wchar_t *base, size_t count) {
  CreateDirectoryW(base, NULL);
  for (size_t i = 0; i <= count; i++) {
    wchar_t name[32] = L"scratch";
    if (i < count) _snwprintf(name, 32, L"ro%02u", (unsigned)(count - i));
    _snwprintf(folders[i], MAX_PATH, L"%ls\\%ls", base, name);
    CreateDirectoryW(folders[i], NULL);
    if (i == count) break;
    check(NameToGuid(name, layers[i].layerId), "NameToGuid");
    layers[i].path = folders[i];
  }
  _snwprintf(disk, MAX_PATH, L"%ls\\sandbox.vhdx", folders[count]);
  CloseHandle(CreateFileW(disk, GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, 0, NULL));
}

static void mountAndRelease(size_t count) {
  const wchar_t *scratch = folders[count];
  wchar_t path[64];
  size_t length = 0;
  for (size_t i = 0; i <= count; i++) {
    if (GetFileAttributesW(folders[i]) == INVALID_FILE_ATTRIBUTES) check(E_FAIL, "GetFileAttributesW");
  }
  if (GetFileAttributesW(disk) == INVALID_FILE_ATTRIBUTES) check(E_FAIL, "GetFileAttributesW");
  check(ActivateLayer(&info, scratch), "ActivateLayer");
  check(PrepareLayer(&info, scratch, layers, count), "PrepareLayer");
  check(GetLayerMountPath(&info, scratch, &length, NULL), "GetLayerMountPath");
  check(GetLayerMountPath(&info, scratch, &length, path), "GetLayerMountPath");
  check(UnprepareLayer(&info, scratch), "UnprepareLayer");
  check(DeactivateLayer(&info, scratch), "DeactivateLayer");
}

int wmain(int argc, wchar_t **argv) {
  size_t cycles = argc > 1 ? wcstoul(argv[1], NULL, 10) : 0;
  size_t count = argc > 2 ? wcstoul(argv[2], NULL, 10) : 0;
  if (!cycles || !count || count > MAX_LAYERS) {
    fprintf(stderr, "cycle.exe CYCLES LAYERS(1..%d) [FOLDER]\n", MAX_LAYERS);
    return 2;
  }
  RecorderQuiet(1);
  prepareFolders(argc > 3 ? argv[3] : L"C:\\layers", count);
  for (size_t i = 0; i < cycles / 10 + 1; i++) mountAndRelease(count);
  LARGE_INTEGER frequency, start, end;
  QueryPerformanceFrequency(&frequency);
  QueryPerformanceCounter(&start);
  for (size_t i = 0; i < cycles; i++) mountAndRelease(count);
  QueryPerformanceCounter(&end);
  double seconds = (double)(end.QuadPart - start.QuadPart) / (double)frequency.QuadPart;
  printf("{\"cycles\":%u,\"layers\":%u,\"nsPerCycle\":%.0f}\n", (unsigned)cycles, (unsigned)count, seconds * 1e9 / cycles);
  return 0;
}
