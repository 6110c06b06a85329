/*
 * virtdisk.dll: disks that exist in name only. A handle is a real one, of an event, so that CloseHandle closes it. Fails
 * with the low 16 bits.
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
  DWORD code = fails ? (DWORD)call->hr & 0xffff : 0;
  if (fails) call->hr = HRESULT_FROM_WIN32(code);
  callClose(call);
  return code;
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
    call.hr = ERROR_INSUFFICIENT_BUFFER;
  } else if (!fails) {
    wcscpy(buffer, device);
    outWide(&call, "diskPath", buffer);
  }
  *size = sizeof device;
  return finish(&call, fails);
}
