/* computestorage.dll: all calls succeed unless told to fail. */
#include "recorder.h"
#include <wchar.h>

static Call open(const char *fn) { return callOpen("computestorage", fn); }

static HRESULT finish(Call *call) {
  callFails(call);
  return callClose(call);
}

/* Functions of one, two, three or four strings. */
#define FUNCTION_1(name, a) \
  EXPORT HRESULT name(const wchar_t *a) { \
    Call call = open(#name); \
    argWide(&call, #a, a); \
    return finish(&call); \
  }
#define FUNCTION_2(name, a, b) \
  EXPORT HRESULT name(const wchar_t *a, const wchar_t *b) { \
    Call call = open(#name); \
    argWide(&call, #a, a); \
    argWide(&call, #b, b); \
    return finish(&call); \
  }
#define FUNCTION_3(name, a, b, c) \
  EXPORT HRESULT name(const wchar_t *a, const wchar_t *b, const wchar_t *c) { \
    Call call = open(#name); \
    argWide(&call, #a, a); \
    argWide(&call, #b, b); \
    argWide(&call, #c, c); \
    return finish(&call); \
  }

FUNCTION_1(HcsDestroyLayer, layerPath)
FUNCTION_1(HcsDetachLayerStorageFilter, layerPath)
FUNCTION_2(HcsAttachLayerStorageFilter, layerPath, layerData)
FUNCTION_2(HcsAttachOverlayFilter, volumePath, layerData)
FUNCTION_2(HcsDetachOverlayFilter, volumePath, layerData)
FUNCTION_3(HcsImportLayer, layerPath, sourceFolderPath, layerData)
FUNCTION_3(HcsInitializeWritableLayer, writableLayerPath, layerData, options)
FUNCTION_3(HcsSetupBaseOSVolume, layerPath, volumePath, options)

EXPORT HRESULT HcsExportLayer(
  const wchar_t *layerPath, const wchar_t *exportFolderPath, const wchar_t *layerData, const wchar_t *options
) {
  Call call = open("HcsExportLayer");
  argWide(&call, "layerPath", layerPath);
  argWide(&call, "exportFolderPath", exportFolderPath);
  argWide(&call, "layerData", layerData);
  argWide(&call, "options", options);
  return finish(&call);
}

EXPORT HRESULT HcsFormatWritableLayerVhd(HANDLE vhdHandle) {
  Call call = open("HcsFormatWritableLayerVhd");
  argWide(&call, "vhdHandle", diskPath(vhdHandle));
  return finish(&call);
}

EXPORT HRESULT HcsSetupBaseOSLayer(const wchar_t *layerPath, HANDLE vhdHandle, const wchar_t *options) {
  Call call = open("HcsSetupBaseOSLayer");
  argWide(&call, "layerPath", layerPath);
  argWide(&call, "vhdHandle", diskPath(vhdHandle));
  argWide(&call, "options", options);
  return finish(&call);
}

/* The caller frees the answer with LocalFree. */
EXPORT HRESULT HcsGetLayerVhdMountPath(HANDLE vhdHandle, wchar_t **mountPath) {
  Call call = open("HcsGetLayerVhdMountPath");
  const wchar_t *path = diskPath(vhdHandle);
  argWide(&call, "vhdHandle", path);
  argPointer(&call, "mountPath", mountPath);
  if (callFails(&call)) return callClose(&call);
  uint8_t volume[16];
  wchar_t text[37];
  guidOf(L"vhd:", path ? path : L"", volume);
  guidText(volume, text);
  volumeSet(text, true);
  *mountPath = LocalAlloc(0, 64 * sizeof(wchar_t));
  if (!*mountPath) call.hr = E_OUTOFMEMORY;
  else {
    _snwprintf(*mountPath, 64, L"\\\\?\\Volume{%ls}", text);
    outWide(&call, "mountPath", *mountPath);
  }
  return callClose(&call);
}
