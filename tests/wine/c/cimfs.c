/*
 * cimfs.dll: mounting and dismounting images. A mounted image's volume is there until it is dismounted; what is mounted
 * already, or isn't mounted, is not checked.
 */
#include "recorder.h"

static void argVolume(Call *call, const uint8_t *volumeId) {
  wchar_t text[37] = L"";
  if (volumeId) guidText(volumeId, text);
  argWide(call, "volumeId", volumeId ? text : NULL);
  argRaw(call, "volumeId", volumeId, 16);
}

static void setVolume(const uint8_t *volumeId, bool there) {
  wchar_t text[37];
  guidText(volumeId, text);
  volumeSet(text, there);
}

EXPORT HRESULT CimMountImage(
  const wchar_t *imagePath, const wchar_t *fsName, uint32_t flags, const uint8_t *volumeId
) {
  Call call = callOpen("cimfs", "CimMountImage");
  argWide(&call, "imagePath", imagePath);
  argWide(&call, "fsName", fsName);
  argNumber(&call, "flags", flags);
  argVolume(&call, volumeId);
  if (!callFails(&call) && volumeId) setVolume(volumeId, true);
  return callClose(&call);
}

EXPORT HRESULT CimDismountImage(const uint8_t *volumeId) {
  Call call = callOpen("cimfs", "CimDismountImage");
  argVolume(&call, volumeId);
  if (!callFails(&call) && volumeId) setVolume(volumeId, false);
  return callClose(&call);
}
