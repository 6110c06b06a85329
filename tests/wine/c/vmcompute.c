/*
 * vmcompute.dll: the storage functions. They keep no order and check nothing: a layer can be prepared that was
 * never activated. Names and order of the arguments in the trace are those of the recorded runs.
 */
#include "recorder.h"
#include "vmcompute.h"
#include <objbase.h>
#include <wchar.h>

static void argInfo(Call *call, const DriverInfo *info) {
  argKey(call, "info");
  if (info) {
    textAdd(call, &call->args, "{\"Flavour\":%lld,\"HomeDir\":", info->flavour);
    textWide(call, &call->args, info->homeDir);
    textAdd(call, &call->args, "}");
  } else {
    textAdd(call, &call->args, "null");
  }
  argRaw(call, "info", info, sizeof *info);
}

static void argLayers(Call *call, const LayerDescriptor *layers, size_t layerCount) {
  if (call->quiet) return;
  argKey(call, "layers");
  textAdd(call, &call->args, layers ? "[" : "null");
  for (size_t i = 0; layers && i < layerCount; i++) {
    wchar_t id[37];
    guidText(layers[i].layerId, id);
    textAdd(call, &call->args, "%s{\"LayerId\":", i ? "," : "");
    textWide(call, &call->args, id);
    textAdd(call, &call->args, ",\"Flags\":%u,\"Path\":", layers[i].flags);
    textWide(call, &call->args, layers[i].path);
    textAdd(call, &call->args, "}");
  }
  if (layers) textAdd(call, &call->args, "]");
  argNumber(call, "layerCount", layerCount);
  argRaw(call, "layers", layers, layerCount * sizeof *layers);
}

static Call open(const char *fn) { return callOpen("vmcompute", fn); }

static Call openLayer(const char *fn, const DriverInfo *info, const wchar_t *id) {
  Call call = open(fn);
  argInfo(&call, info);
  argWide(&call, "id", id);
  return call;
}

static HRESULT finish(Call *call) {
  callFails(call);
  return callClose(call);
}

/* Functions of a layer and nothing else. */
#define LAYER_FUNCTION(name) \
  EXPORT HRESULT name(const DriverInfo *info, const wchar_t *id) { \
    Call call = openLayer(#name, info, id); \
    return finish(&call); \
  }

LAYER_FUNCTION(ActivateLayer)
LAYER_FUNCTION(DeactivateLayer)
LAYER_FUNCTION(UnprepareLayer)
LAYER_FUNCTION(DestroyLayer)

EXPORT HRESULT PrepareLayer(
  const DriverInfo *info, const wchar_t *id, const LayerDescriptor *layers, size_t layerCount
) {
  Call call = openLayer("PrepareLayer", info, id);
  argLayers(&call, layers, layerCount);
  return finish(&call);
}

EXPORT HRESULT GetLayerMountPath(const DriverInfo *info, const wchar_t *id, size_t *length, wchar_t *buffer) {
  Call call = openLayer("GetLayerMountPath", info, id);
  if (length) argNumber(&call, "length", *length);
  else argPointer(&call, "length", length);
  argPointer(&call, "buffer", buffer);
  if (callFails(&call)) return callClose(&call);
  if (!id || !length) {
    call.hr = E_INVALIDARG;
    return callClose(&call);
  }
  uint8_t volume[16];
  wchar_t text[37], path[64];
  guidOf(L"volume:", id, volume);
  guidText(volume, text);
  volumeSet(text, true);
  size_t needed = (size_t)_snwprintf(path, 64, L"\\\\?\\Volume{%ls}\\", text) + 1;
  if (buffer && *length < needed) call.hr = HRESULT_FROM_WIN32(ERROR_INSUFFICIENT_BUFFER);
  *length = needed;
  outNumber(&call, "length", needed);
  if (buffer && call.hr == S_OK) {
    wmemcpy(buffer, path, needed);
    outWide(&call, "buffer", buffer);
    argRaw(&call, "buffer", buffer, needed * sizeof *buffer);
  }
  return callClose(&call);
}

/* Every layer exists. */
EXPORT HRESULT LayerExists(const DriverInfo *info, const wchar_t *id, uint32_t *exists) {
  Call call = openLayer("LayerExists", info, id);
  argPointer(&call, "exists", exists);
  if (!callFails(&call) && exists) outNumber(&call, "exists", *exists = 1);
  return callClose(&call);
}

EXPORT HRESULT CreateLayer(const DriverInfo *info, const wchar_t *id, const wchar_t *parent) {
  Call call = openLayer("CreateLayer", info, id);
  argWide(&call, "parent", parent);
  return finish(&call);
}

/* An empty file: nobody reads it. Without a folder around it, it isn't made. */
static void createDisk(const wchar_t *folder) {
  wchar_t path[MAX_PATH];
  if (_snwprintf(path, MAX_PATH, L"%ls\\sandbox.vhdx", folder) < 0) return;
  CreateDirectoryW(folder, NULL);
  HANDLE file = CreateFileW(path, GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, 0, NULL);
  if (file != INVALID_HANDLE_VALUE) CloseHandle(file);
}

EXPORT HRESULT CreateSandboxLayer(
  const DriverInfo *info, const wchar_t *id, size_t parent, const LayerDescriptor *layers, size_t layerCount
) {
  Call call = openLayer("CreateSandboxLayer", info, id);
  argNumber(&call, "parent", parent);
  argLayers(&call, layers, layerCount);
  if (!callFails(&call) && id) createDisk(id);
  return callClose(&call);
}

EXPORT HRESULT ExpandSandboxSize(const DriverInfo *info, const wchar_t *id, uint64_t size) {
  Call call = openLayer("ExpandSandboxSize", info, id);
  argNumber(&call, "size", size);
  return finish(&call);
}

EXPORT HRESULT CopyLayer(
  const DriverInfo *info, const wchar_t *srcId, const wchar_t *dstId, const LayerDescriptor *layers, size_t layerCount
) {
  Call call = open("CopyLayer");
  argInfo(&call, info);
  argWide(&call, "srcId", srcId);
  argWide(&call, "dstId", dstId);
  argLayers(&call, layers, layerCount);
  return finish(&call);
}

#define TRANSFER_FUNCTION(name) \
  EXPORT HRESULT name( \
    const DriverInfo *info, const wchar_t *id, const wchar_t *path, const LayerDescriptor *layers, size_t layerCount \
  ) { \
    Call call = openLayer(#name, info, id); \
    argWide(&call, "path", path); \
    argLayers(&call, layers, layerCount); \
    return finish(&call); \
  }

TRANSFER_FUNCTION(ExportLayer)
TRANSFER_FUNCTION(ImportLayer)

EXPORT HRESULT NameToGuid(const wchar_t *name, uint8_t *guid) {
  Call call = open("NameToGuid");
  argWide(&call, "name", name);
  argPointer(&call, "guid", guid);
  if (callFails(&call)) return callClose(&call);
  if (name && guid) {
    guidOf(L"", name, guid);
    outGuid(&call, "guid", guid);
  } else {
    call.hr = E_INVALIDARG;
  }
  return callClose(&call);
}

#define ACCESS_FUNCTION(name) \
  EXPORT HRESULT name(const wchar_t *vmid, const wchar_t *filepath) { \
    Call call = open(#name); \
    argWide(&call, "vmid", vmid); \
    argWide(&call, "filepath", filepath); \
    return finish(&call); \
  }

ACCESS_FUNCTION(GrantVmAccess)
ACCESS_FUNCTION(RevokeVmAccess)

/* The caller frees the answer with CoTaskMemFree. */
EXPORT HRESULT GetBaseImages(wchar_t **buffer) {
  static const wchar_t answer[] = L"{\"Images\":[]}";
  Call call = open("GetBaseImages");
  argPointer(&call, "buffer", buffer);
  if (callFails(&call)) return callClose(&call);
  wchar_t *copy = buffer ? CoTaskMemAlloc(sizeof answer) : NULL;
  if (copy) {
    wmemcpy(copy, answer, sizeof answer / sizeof *answer);
    *buffer = copy;
    outWide(&call, "buffer", copy);
  } else {
    call.hr = buffer ? E_OUTOFMEMORY : E_INVALIDARG;
  }
  return callClose(&call);
}

#define IMAGE_FUNCTION(name) \
  EXPORT HRESULT name(const wchar_t *path) { \
    Call call = open(#name); \
    argWide(&call, "path", path); \
    return finish(&call); \
  }

IMAGE_FUNCTION(ProcessBaseImage)
IMAGE_FUNCTION(ProcessUtilityImage)
