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
  return finish(&call, callFails(&call));
}

DWORD standInDetachVirtualDisk(HANDLE handle, uint32_t flags, uint32_t providerFlags) {
  Call call = open("DetachVirtualDisk");
  argWide(&call, "handle", diskPath(handle));
  argNumber(&call, "flags", flags);
  argNumber(&call, "providerSpecificFlags", providerFlags);
  return finish(&call, callFails(&call));
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
