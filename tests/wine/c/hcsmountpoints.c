/*
 * hcsmountpoints.dll: stand-ins for the mount point functions of kernel32, since Wine has no SetVolumeMountPointW.
 * It remembers the mount points that this process has set, and checks nothing. Only Set and Delete are recorded, and
 * can be told to fail (with the low 16 bits). RemoveDirectoryW and DeviceIoControl are kernel32's own (see the .def),
 * and so is CreateFileW, but that it refuses alternate data streams, as FAT does.
 */
#include "recorder.h"
#include <stdlib.h>
#include <wchar.h>

#define VOLUME_PREFIX L"\\\\?\\Volume{"
#define VOLUME_PREFIX_UNITS (sizeof VOLUME_PREFIX / sizeof(wchar_t) - 1)

typedef struct MountPoint {
  struct MountPoint *next;
  wchar_t *folder, *volume;
} MountPoint;

static SRWLOCK lock = SRWLOCK_INIT;
static MountPoint *mountPoints;

/* Without `\` at the end: it is there in some calls about a folder, and not in others. */
static size_t lengthOf(const wchar_t *path) {
  size_t length = wcslen(path);
  while (length && path[length - 1] == '\\') length--;
  return length;
}

static bool samePath(const wchar_t *a, const wchar_t *b) {
  return CompareStringOrdinal(a, (int)lengthOf(a), b, (int)lengthOf(b), TRUE) == CSTR_EQUAL;
}

/* Under the lock. Where the mount point is, or would be. */
static MountPoint **find(const wchar_t *folder) {
  MountPoint **at = &mountPoints;
  while (*at && !samePath((*at)->folder, folder)) at = &(*at)->next;
  return at;
}

static void forget(MountPoint **at) {
  MountPoint *gone = *at;
  if (!gone) return;
  *at = gone->next;
  free(gone->folder);
  free(gone->volume);
  free(gone);
}

static bool isVolume(const wchar_t *path) { return !wcsncmp(path, VOLUME_PREFIX, VOLUME_PREFIX_UNITS); }

static BOOL fail(DWORD code) {
  SetLastError(code);
  return FALSE;
}

/* The last thing that Set and Delete do, as the last error must be the last that changes. */
static BOOL finish(Call *call, bool fails) {
  DWORD code = (DWORD)call->hr & 0xffff;
  if (fails) call->hr = HRESULT_FROM_WIN32(code);
  callClose(call);
  return fails ? fail(code) : TRUE;
}

BOOL WINAPI standInSetVolumeMountPointW(const wchar_t *folder, const wchar_t *volume) {
  Call call = callOpen("kernel32", "SetVolumeMountPointW");
  argWide(&call, "volumeMountPoint", folder);
  argWide(&call, "volumeName", volume);
  bool fails = callFails(&call);
  if (!fails && folder && volume) {
    MountPoint *added = malloc(sizeof *added);
    if (!added) abort();
    *added = (MountPoint){.folder = _wcsdup(folder), .volume = _wcsdup(volume)};
    AcquireSRWLockExclusive(&lock);
    forget(find(folder));
    *find(folder) = added;
    if (isVolume(volume)) volumeSet(volume + VOLUME_PREFIX_UNITS, true);
    ReleaseSRWLockExclusive(&lock);
  }
  return finish(&call, fails);
}

BOOL WINAPI standInDeleteVolumeMountPointW(const wchar_t *folder) {
  Call call = callOpen("kernel32", "DeleteVolumeMountPointW");
  argWide(&call, "volumeMountPoint", folder);
  bool fails = callFails(&call);
  if (!fails && folder) {
    AcquireSRWLockExclusive(&lock);
    forget(find(folder));
    ReleaseSRWLockExclusive(&lock);
  }
  return finish(&call, fails);
}

BOOL WINAPI standInGetVolumeNameForVolumeMountPointW(const wchar_t *folder, wchar_t *buffer, DWORD capacity) {
  DWORD code = ERROR_NOT_A_REPARSE_POINT;
  AcquireSRWLockShared(&lock);
  MountPoint *found = *find(folder);
  if (found) {
    code = wcslen(found->volume) < capacity ? ERROR_SUCCESS : ERROR_FILENAME_EXCED_RANGE;
    if (code == ERROR_SUCCESS) wcscpy(buffer, found->volume);
  }
  ReleaseSRWLockShared(&lock);
  return code ? fail(code) : TRUE;
}

/* A list of strings, each with its NUL, and a NUL after the last. */
BOOL WINAPI standInGetVolumePathNamesForVolumeNameW(
  const wchar_t *volume, wchar_t *buffer, DWORD capacity, DWORD *needed
) {
  DWORD length = 1;
  AcquireSRWLockShared(&lock);
  for (MountPoint *at = mountPoints; at; at = at->next) {
    if (samePath(at->volume, volume)) length += (DWORD)lengthOf(at->folder) + 2;
  }
  if (length <= capacity) {
    for (MountPoint *at = mountPoints; at; at = at->next) {
      if (!samePath(at->volume, volume)) continue;
      size_t units = lengthOf(at->folder);
      wmemcpy(buffer, at->folder, units);
      wmemcpy(buffer + units, L"\\", 2);
      buffer += units + 2;
    }
    *buffer = 0;
  }
  ReleaseSRWLockShared(&lock);
  if (needed) *needed = length;
  return length <= capacity ? TRUE : fail(ERROR_MORE_DATA);
}

/* Wine makes a file of that name beside the folder, and the parent can't be removed then. */
HANDLE WINAPI standInCreateFileW(
  const wchar_t *path, DWORD access, DWORD share, SECURITY_ATTRIBUTES *security, DWORD disposition, DWORD flags,
  HANDLE template
) {
  const wchar_t *colon = wcsrchr(path, ':');
  if (colon && colon[1] != '\\') {
    SetLastError(ERROR_INVALID_NAME);
    return INVALID_HANDLE_VALUE;
  }
  return CreateFileW(path, access, share, security, disposition, flags, template);
}

DWORD WINAPI standInGetFileAttributesW(const wchar_t *path) {
  if (isVolume(path)) {
    if (volumeIsThere(path + VOLUME_PREFIX_UNITS)) return FILE_ATTRIBUTE_DIRECTORY;
    SetLastError(ERROR_FILE_NOT_FOUND);
    return INVALID_FILE_ATTRIBUTES;
  }
  AcquireSRWLockShared(&lock);
  bool mounted = *find(path) != NULL;
  ReleaseSRWLockShared(&lock);
  DWORD attributes = GetFileAttributesW(path);
  if (mounted && attributes != INVALID_FILE_ATTRIBUTES) attributes |= FILE_ATTRIBUTE_REPARSE_POINT;
  return attributes;
}
