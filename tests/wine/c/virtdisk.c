/*
 * virtdisk.dll: disks that exist in name only. A handle is a real one, of an event, so that CloseHandle closes it. Of a
 * Win32 code as an HRESULT it fails with the code, of another HRESULT with all of it.
 */
#include "recorder.h"
#include <wchar.h>

/* CREATE_VIRTUAL_DISK_PARAMETERS, version 2. */
typedef struct {
  uint32_t version, reserved;
  uint8_t uniqueId[16];
  uint64_t maximumSize;
  uint32_t blockSize, sectorSize, physicalSectorSize, reserved2;
  const wchar_t *parentPath, *sourcePath;
  uint32_t openFlags;
  uint8_t parentType[20], sourceType[20], resiliency[16];
  uint32_t reserved3;
} CreateParameters;

_Static_assert(sizeof(CreateParameters) == 128, "CREATE_VIRTUAL_DISK_PARAMETERS");

static Call open(const char *fn) { return callOpen("virtdisk", fn); }

static DWORD finish(Call *call, bool fails) {
  HRESULT hr = fails ? call->hr : S_OK;
  callClose(call);
  return HRESULT_FACILITY(hr) == FACILITY_WIN32 ? HRESULT_CODE(hr) : hr;
}

static void openHandle(Call *call, const wchar_t *path, HANDLE *handle) {
  *handle = CreateEventW(NULL, TRUE, FALSE, NULL);
  diskSet(*handle, path);
  outWide(call, "handle", path);
}

DWORD standInCreateVirtualDisk(
  const void *type, const wchar_t *path, uint32_t accessMask, void *security, uint32_t flags, uint32_t providerFlags,
  const CreateParameters *parameters, void *overlapped, HANDLE *handle
) {
  Call call = open("CreateVirtualDisk");
  argWide(&call, "path", path);
  argNumber(&call, "accessMask", accessMask);
  argPointer(&call, "securityDescriptor", security);
  argNumber(&call, "flags", flags);
  argNumber(&call, "providerSpecificFlags", providerFlags);
  argKey(&call, "parameters");
  textAdd(
    &call, &call.args,
    "{\"Version\":%u,\"MaximumSize\":%llu,\"BlockSizeInBytes\":%u,\"OpenFlags\":%u,\"ParentPath\":", parameters->version,
    parameters->maximumSize, parameters->blockSize, parameters->openFlags
  );
  textWide(&call, &call.args, parameters->parentPath);
  textAdd(&call, &call.args, "}");
  argPointer(&call, "overlapped", overlapped);
  argRaw(&call, "type", type, 20);
  argRaw(&call, "parameters", parameters, sizeof *parameters);
  bool fails = callFails(&call);
  if (!fails) openHandle(&call, path, handle);
  return finish(&call, fails);
}

DWORD standInOpenVirtualDisk(
  const void *type, const wchar_t *path, uint32_t accessMask, uint32_t flags, const void *parameters, HANDLE *handle
) {
  Call call = open("OpenVirtualDisk");
  argWide(&call, "path", path);
  argNumber(&call, "accessMask", accessMask);
  argNumber(&call, "flags", flags);
  argRaw(&call, "type", type, 20);
  argRaw(&call, "parameters", parameters, 28);
  bool fails = callFails(&call);
  if (!fails) openHandle(&call, path, handle);
  return finish(&call, fails);
}

#define MOST_ATTACHED 16
static wchar_t attached[MOST_ATTACHED][MAX_PATH];
static int attachedCount;

DWORD standInAttachVirtualDisk(
  HANDLE handle, void *security, uint32_t flags, uint32_t providerFlags, const void *parameters, void *overlapped
) {
  Call call = open("AttachVirtualDisk");
  argWide(&call, "handle", diskPath(handle));
  argPointer(&call, "securityDescriptor", security);
  argNumber(&call, "flags", flags);
  argNumber(&call, "providerSpecificFlags", providerFlags);
  argPointer(&call, "parameters", parameters);
  argPointer(&call, "overlapped", overlapped);
  bool fails = callFails(&call);
  if (!fails && diskPath(handle) && attachedCount < MOST_ATTACHED) wcsncpy(attached[attachedCount++], diskPath(handle), MAX_PATH - 1);
  return finish(&call, fails);
}

DWORD standInDetachVirtualDisk(HANDLE handle, uint32_t flags, uint32_t providerFlags) {
  Call call = open("DetachVirtualDisk");
  argWide(&call, "handle", diskPath(handle));
  argNumber(&call, "flags", flags);
  argNumber(&call, "providerSpecificFlags", providerFlags);
  bool fails = callFails(&call);
  if (!fails) attachedCount = 0;
  return finish(&call, fails);
}

/* The size is in bytes. */
DWORD standInGetVirtualDiskPhysicalPath(HANDLE handle, uint32_t *size, wchar_t *buffer) {
  static const wchar_t device[] = L"\\\\.\\PhysicalDrive7";
  Call call = open("GetVirtualDiskPhysicalPath");
  argWide(&call, "handle", diskPath(handle));
  argNumber(&call, "diskPathSizeInBytes", *size);
  bool fails = callFails(&call);
  if (!fails && *size < sizeof device) {
    fails = true;
    call.hr = HRESULT_FROM_WIN32(ERROR_INSUFFICIENT_BUFFER);
  } else if (!fails) {
    wcscpy(buffer, device);
    outWide(&call, "diskPath", buffer);
  }
  *size = sizeof device;
  return finish(&call, fails);
}

/* GET_VIRTUAL_DISK_INFO, with the members for its sizes and for the path of its parent. */
typedef struct {
  uint32_t version, reserved;
  union {
    struct {
      uint64_t virtualSize, physicalSize;
      uint32_t blockSize, sectorSize;
    } size;
    struct {
      int32_t resolved;
      wchar_t location[];
    } parent;
  };
} Information;

/* A disk whose name ends in diff.vhdx differs from the one that is named so with .base after it. */
DWORD standInGetVirtualDiskInformation(HANDLE handle, uint32_t *size, Information *info, uint32_t *used) {
  Call call = open("GetVirtualDiskInformation");
  const wchar_t *path = diskPath(handle);
  argWide(&call, "handle", path);
  argNumber(&call, "virtualDiskInfoSize", *size);
  argNumber(&call, "version", info->version);
  argPointer(&call, "sizeUsed", used);
  bool fails = callFails(&call);
  if (!fails && info->version == 1) {
    info->size.virtualSize = 0x123456789a00;
    info->size.physicalSize = 0x400000;
    info->size.blockSize = 0x100000;
    info->size.sectorSize = 512;
  } else if (!fails && path && wcsstr(path, L"diff.vhdx")) {
    info->parent.resolved = TRUE;
    _snwprintf(info->parent.location, (*size - 12) / sizeof(wchar_t), L"%ls.base", path);
  } else if (!fails) {
    fails = true;
    call.hr = (HRESULT)0xc03a001b; /* ERROR_VHD_INVALID_TYPE */
  }
  return finish(&call, fails);
}

/* STORAGE_DEPENDENCY_INFO_TYPE_2. */
typedef struct {
  uint32_t dependencyTypeFlags, providerFlags, deviceId;
  uint8_t vendorId[16];
  uint32_t ancestorLevel;
  const wchar_t *dependencyDeviceName, *hostVolumeName, *dependentVolumeName, *dependentVolumeRelativePath;
} Dependency;

typedef struct {
  uint32_t version, count;
  Dependency entries[];
} Dependencies;

_Static_assert(sizeof(Dependency) == 64, "STORAGE_DEPENDENCY_INFO_TYPE_2");

#define HOST_VOLUME L"\\\\?\\Volume{0a0b0c0d-0102-0304-0506-0708090a0b0c}\\"
#define PADDING 5000

/*
 * A folder named virtual stands for the root of a volume on a differencing disk. The parent comes first, as nobody says in which
 * order they are, and the texts need more room than the caller has at first. Other folders are on no virtual disk.
 */
DWORD standInGetStorageDependencyInformation(
  HANDLE handle, uint32_t flags, uint32_t size, Dependencies *info, uint32_t *used
) {
  static const wchar_t volume[] = HOST_VOLUME, parent[] = L"\\disks\\parent.vhdx", child[] = L"\\disks\\\xc4rger.vhdx";
  Call call = open("GetStorageDependencyInformation");
  wchar_t folder[1024];
  bool isOnDisk = GetFinalPathNameByHandleW(handle, folder, 1024, 0) && wcsstr(folder, L"\\virtual");
  argNumber(&call, "isOnDisk", isOnDisk);
  argNumber(&call, "flags", flags);
  argNumber(&call, "size", size);
  argNumber(&call, "version", info->version);
  if (callFails(&call)) return finish(&call, true);
  if (!isOnDisk) {
    call.hr = (HRESULT)0xc03a0015; /* ERROR_VIRTDISK_NOT_VIRTUAL_DISK */
    return finish(&call, true);
  }
  size_t texts = sizeof(Dependencies) + 2 * sizeof(Dependency) + PADDING;
  *used = texts + sizeof volume + sizeof parent + sizeof child;
  if (*used > size) {
    call.hr = HRESULT_FROM_WIN32(ERROR_INSUFFICIENT_BUFFER);
    return finish(&call, true);
  }
  wchar_t *hostAt = memcpy((char *)info + texts, volume, sizeof volume);
  wchar_t *parentAt = memcpy((char *)hostAt + sizeof volume, parent, sizeof parent);
  wchar_t *childAt = memcpy((char *)parentAt + sizeof parent, child, sizeof child);
  info->count = 2;
  info->entries[0] = (Dependency){
    .deviceId = 3, .ancestorLevel = 2, .hostVolumeName = hostAt, .dependentVolumeRelativePath = parentAt
  };
  info->entries[1] = (Dependency){
    .deviceId = 3, .ancestorLevel = 1, .hostVolumeName = hostAt, .dependentVolumeRelativePath = childAt
  };
  return finish(&call, false);
}

/* The disks that this process has attached, and much more room than that if there are any. */
DWORD standInGetAllAttachedVirtualDiskPhysicalPaths(uint32_t *bytes, wchar_t *paths) {
  Call call = open("GetAllAttachedVirtualDiskPhysicalPaths");
  argNumber(&call, "bytes", *bytes);
  bool fails = callFails(&call);
  size_t needed = sizeof(wchar_t);
  for (int i = 0; i < attachedCount; i++) needed += (wcslen(attached[i]) + 1) * sizeof(wchar_t);
  if (attachedCount) needed += PADDING;
  if (!fails && needed > *bytes) {
    fails = true;
    call.hr = HRESULT_FROM_WIN32(ERROR_INSUFFICIENT_BUFFER);
  } else if (!fails) {
    wchar_t *at = paths;
    for (int i = 0; i < attachedCount; i++) at = wcscpy(at, attached[i]) + wcslen(attached[i]) + 1;
    *at = 0;
  }
  *bytes = needed;
  return finish(&call, fails);
}
