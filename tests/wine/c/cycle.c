/*
 * cycle.exe CYCLES LAYERS KERNEL32: the native calls that one mount and its release make, in a plain C loop, on the quiet
 * recorder, those of kernel32 in the DLL named KERNEL32: kernel32.dll or hcsquick.dll. For each batch of
 * so many, it prints the nanoseconds that a cycle takes: the floor that the benchmark of the TypeScript side is compared with.
 * With 0 for CYCLES there is just one, recorded.
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

static struct {
  BOOL (WINAPI *closeHandle)(HANDLE);
  HANDLE (WINAPI *createFile)(const wchar_t *, DWORD, DWORD, SECURITY_ATTRIBUTES *, DWORD, DWORD, HANDLE);
  DWORD (WINAPI *getFileAttributes)(const wchar_t *);
  DWORD (WINAPI *getFinalPathNameByHandle)(HANDLE, wchar_t *, DWORD, DWORD);
  DWORD (WINAPI *getLastError)(void);
  void *(WINAPI *localAlloc)(UINT, SIZE_T);
  void *(WINAPI *localFree)(void *);
  void (WINAPI *moveMemory)(void *, const void *, SIZE_T);
} k;

#define BASE L"C:\\layers"
#define MAX_LAYERS 128
#define BATCHES 30
static wchar_t folders[MAX_LAYERS + 1][MAX_PATH]; /* the last one is the scratch folder */
static wchar_t disk[MAX_PATH], image[MAX_PATH];
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

static void *function(HMODULE dll, const char *name) {
  void *found = (void *)GetProcAddress(dll, name);
  need(found != NULL, name);
  return found;
}

static void load(const wchar_t *name) {
  HMODULE dll = LoadLibraryW(name);
  k.closeHandle = function(dll, "CloseHandle");
  k.createFile = function(dll, "CreateFileW");
  k.getFileAttributes = function(dll, "GetFileAttributesW");
  k.getFinalPathNameByHandle = function(dll, "GetFinalPathNameByHandleW");
  k.getLastError = function(dll, "GetLastError");
  k.localAlloc = function(dll, "LocalAlloc");
  k.localFree = function(dll, "LocalFree");
  k.moveMemory = function(dll, "RtlMoveMemory");
}

static void prepareFolders(size_t count) {
  CreateDirectoryW(BASE, NULL);
  for (size_t i = 0; i <= count; i++) {
    wchar_t name[32] = L"scratch";
    if (i < count) _snwprintf(name, 32, L"ro%02u", (unsigned)(count - i));
    _snwprintf(folders[i], MAX_PATH, BASE L"\\%ls", name);
    CreateDirectoryW(folders[i], NULL);
    if (i == count) break;
    check(NameToGuid(name, layers[i].layerId), "NameToGuid");
    wcscpy(paths + pathUnits, folders[i]);
    pathUnits += wcslen(folders[i]) + 1;
  }
  _snwprintf(image, MAX_PATH, BASE L"\\cim-layers\\ro%02u.cim", (unsigned)count);
  _snwprintf(disk, MAX_PATH, L"%ls\\sandbox.vhdx", folders[count]);
  CloseHandle(CreateFileW(disk, GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, 0, NULL));
}

static HANDLE opened(const wchar_t *path, DWORD access, DWORD share, DWORD flags) {
  HANDLE handle = k.createFile(path, access, share, NULL, OPEN_EXISTING, flags, NULL);
  need(handle != INVALID_HANDLE_VALUE, "CreateFileW");
  return handle;
}

static void openDisk(void) { need(k.closeHandle(opened(disk, GENERIC_WRITE, FILE_SHARE_READ, 0)), "CloseHandle"); }

static void mountAndRelease(size_t count) {
  const wchar_t *scratch = folders[count];
  for (size_t i = 0; i <= count; i++) {
    wchar_t path[512];
    HANDLE folder = opened(folders[i], 0, 7, FILE_FLAG_BACKUP_SEMANTICS);
    need(k.getFinalPathNameByHandle(folder, path, 512, 0) > 0, "GetFinalPathNameByHandleW");
    need(k.closeHandle(folder), "CloseHandle");
  }
  need(k.getFileAttributes(image) == INVALID_FILE_ATTRIBUTES && k.getLastError() <= ERROR_PATH_NOT_FOUND, "image");
  for (size_t i = 0; i <= count; i++) {
    need(k.getFileAttributes(folders[i]) != INVALID_FILE_ATTRIBUTES, "GetFileAttributesW");
  }
  need(k.getFileAttributes(disk) != INVALID_FILE_ATTRIBUTES, "GetFileAttributesW");
  openDisk();
  check(ActivateLayer(&info, scratch), "ActivateLayer");
  wchar_t *memory = k.localAlloc(0, pathUnits * sizeof *paths);
  need(memory != NULL, "LocalAlloc");
  k.moveMemory(memory, paths, pathUnits * sizeof *paths);
  wchar_t *path = memory;
  for (size_t i = 0; i < count; i++) {
    layers[i].path = path;
    path += wcslen(path) + 1;
  }
  check(PrepareLayer(&info, scratch, layers, count), "PrepareLayer");
  k.localFree(memory);
  wchar_t volume[64];
  size_t length = 0;
  check(GetLayerMountPath(&info, scratch, &length, NULL), "GetLayerMountPath");
  check(GetLayerMountPath(&info, scratch, &length, volume), "GetLayerMountPath");
  check(UnprepareLayer(&info, scratch), "UnprepareLayer");
  openDisk();
  check(DeactivateLayer(&info, scratch), "DeactivateLayer");
  openDisk();
  /* No disk is in use here, so that it looks whether the scratch is there. */
  need(k.getFileAttributes(scratch) != INVALID_FILE_ATTRIBUTES, "GetFileAttributesW");
}

int wmain(int argc, wchar_t **argv) {
  if (argc != 4) {
    fprintf(stderr, "cycle.exe CYCLES LAYERS(1..%d) KERNEL32\n", MAX_LAYERS);
    return 2;
  }
  size_t cycles = wcstoul(argv[1], NULL, 10);
  size_t count = wcstoul(argv[2], NULL, 10);
  need(count > 0 && count <= MAX_LAYERS, "LAYERS");
  RecorderQuiet(1);
  load(argv[3]);
  prepareFolders(count);
  if (cycles == 0) {
    RecorderQuiet(0);
    mountAndRelease(count);
    return 0;
  }
  LARGE_INTEGER frequency, start, end;
  QueryPerformanceFrequency(&frequency);
  for (size_t batch = 0; batch < BATCHES; batch++) {
    QueryPerformanceCounter(&start);
    for (size_t i = 0; i < cycles; i++) mountAndRelease(count);
    QueryPerformanceCounter(&end);
    double seconds = (double)(end.QuadPart - start.QuadPart) / (double)frequency.QuadPart;
    printf("%.0f\n", seconds * 1e9 / cycles);
  }
  return 0;
}
