/*
 * cycle.exe CYCLES LAYERS FOLDER FILES: the native calls that one mount and its release make, in a plain C loop, on the
 * quiet recorder. What it prints is the floor that the benchmark of the TypeScript side is compared with. The functions
 * for files are those of the DLL named FILES: kernel32.dll or hcsfiles.dll.
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

static DWORD (WINAPI *getFileAttributes)(const wchar_t *);
static HANDLE (WINAPI *createFile)(const wchar_t *, DWORD, DWORD, SECURITY_ATTRIBUTES *, DWORD, DWORD, HANDLE);
static BOOL (WINAPI *closeHandle)(HANDLE);

#define MAX_LAYERS 128
static wchar_t folders[MAX_LAYERS + 1][MAX_PATH]; /* the last one is the scratch folder */
static wchar_t disk[MAX_PATH];
static LayerDescriptor layers[MAX_LAYERS];
static wchar_t paths[MAX_LAYERS * MAX_PATH]; /* of the layers, each with its NUL */
static size_t pathUnits;
static const DriverInfo info = {1, L""};

static void check(HRESULT hr, const char *what) {
  if (hr >= 0) return;
  fprintf(stderr, "%s: 0x%08lx\n", what, hr);
  exit(1);
}

static void need(bool success, const char *what) { check(success ? S_OK : E_FAIL, what); }

static void prepareFiles(const wchar_t *dll) {
  HMODULE files = LoadLibraryW(dll);
  getFileAttributes = (void *)GetProcAddress(files, "GetFileAttributesW");
  createFile = (void *)GetProcAddress(files, "CreateFileW");
  closeHandle = (void *)GetProcAddress(files, "CloseHandle");
  need(getFileAttributes && createFile && closeHandle, "LoadLibraryW");
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
    wcscpy(paths + pathUnits, folders[i]);
    pathUnits += wcslen(folders[i]) + 1;
  }
  _snwprintf(disk, MAX_PATH, L"%ls\\sandbox.vhdx", folders[count]);
  CloseHandle(CreateFileW(disk, GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, 0, NULL));
}

static void mountAndRelease(size_t count) {
  const wchar_t *scratch = folders[count];
  for (size_t i = 0; i <= count; i++) {
    need(getFileAttributes(folders[i]) != INVALID_FILE_ATTRIBUTES, "GetFileAttributesW");
  }
  need(getFileAttributes(disk) != INVALID_FILE_ATTRIBUTES, "GetFileAttributesW");
  HANDLE handle = createFile(disk, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
  need(handle != INVALID_HANDLE_VALUE, "CreateFileW");
  need(closeHandle(handle), "CloseHandle");
  check(ActivateLayer(&info, scratch), "ActivateLayer");
  wchar_t *memory = LocalAlloc(0, pathUnits * sizeof *paths);
  need(memory != NULL, "LocalAlloc");
  RtlMoveMemory(memory, paths, pathUnits * sizeof *paths);
  wchar_t *path = memory;
  for (size_t i = 0; i < count; i++) {
    layers[i].path = path;
    path += wcslen(path) + 1;
  }
  check(PrepareLayer(&info, scratch, layers, count), "PrepareLayer");
  LocalFree(memory);
  wchar_t volume[64];
  size_t length = 0;
  check(GetLayerMountPath(&info, scratch, &length, NULL), "GetLayerMountPath");
  check(GetLayerMountPath(&info, scratch, &length, volume), "GetLayerMountPath");
  check(UnprepareLayer(&info, scratch), "UnprepareLayer");
  check(DeactivateLayer(&info, scratch), "DeactivateLayer");
}

int wmain(int argc, wchar_t **argv) {
  size_t cycles = argc == 5 ? wcstoul(argv[1], NULL, 10) : 0;
  size_t count = argc == 5 ? wcstoul(argv[2], NULL, 10) : 0;
  if (!cycles || !count || count > MAX_LAYERS) {
    fprintf(stderr, "cycle.exe CYCLES LAYERS(1..%d) FOLDER FILES\n", MAX_LAYERS);
    return 2;
  }
  RecorderQuiet(1);
  prepareFiles(argv[4]);
  prepareFolders(argv[3], count);
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
