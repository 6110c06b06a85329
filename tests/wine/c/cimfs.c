/*
 * cimfs.dll: mounting and dismounting images. A mounted image's volume is there until it is dismounted; what is mounted
 * already, or isn't mounted, is not checked.
 */
#include <stdio.h>
#include "recorder.h"

/* CIMFS_IMAGE_PATH. */
typedef struct {
  const wchar_t *imageDir, *imageName;
} ImagePath;

static void argImages(Call *call, uint32_t numCimPaths, const ImagePath *images) {
  argNumber(call, "numCimPaths", numCimPaths);
  for (uint32_t i = 0; images && i < numCimPaths; i++) {
    char key[24];
    snprintf(key, sizeof key, "imageDir%u", (unsigned)i);
    argWide(call, key, images[i].imageDir);
    snprintf(key, sizeof key, "imageName%u", (unsigned)i);
    argWide(call, key, images[i].imageName);
  }
}

static void argHash(Call *call, uint16_t hashSize, const uint8_t *hash) {
  argNumber(call, "hashSize", hashSize);
  argPointer(call, "hash", hash);
  argRaw(call, "hash", hash, hashSize);
}

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

static HRESULT closeMount(Call *call, const uint8_t *volumeId) {
  if (!callFails(call) && volumeId) setVolume(volumeId, true);
  return callClose(call);
}

EXPORT HRESULT CimMountImage(
  const wchar_t *imagePath, const wchar_t *fsName, uint32_t flags, const uint8_t *volumeId
) {
  Call call = callOpen("cimfs", "CimMountImage");
  argWide(&call, "imagePath", imagePath);
  argWide(&call, "fsName", fsName);
  argNumber(&call, "flags", flags);
  argVolume(&call, volumeId);
  return closeMount(&call, volumeId);
}

EXPORT HRESULT CimMountVerifiedImage(
  const wchar_t *imagePath, const wchar_t *fsName, uint32_t flags, const uint8_t *volumeId, uint16_t hashSize,
  const uint8_t *hash
) {
  Call call = callOpen("cimfs", "CimMountVerifiedImage");
  argWide(&call, "imagePath", imagePath);
  argWide(&call, "fsName", fsName);
  argNumber(&call, "flags", flags);
  argVolume(&call, volumeId);
  argHash(&call, hashSize, hash);
  return closeMount(&call, volumeId);
}

EXPORT HRESULT CimMergeMountImage(
  uint32_t numCimPaths, const ImagePath *images, uint32_t flags, const uint8_t *volumeId
) {
  Call call = callOpen("cimfs", "CimMergeMountImage");
  argImages(&call, numCimPaths, images);
  argNumber(&call, "flags", flags);
  argVolume(&call, volumeId);
  return closeMount(&call, volumeId);
}

EXPORT HRESULT CimMergeMountVerifiedImage(
  uint32_t numCimPaths, const ImagePath *images, uint32_t flags, const uint8_t *volumeId, uint16_t hashSize,
  const uint8_t *hash
) {
  Call call = callOpen("cimfs", "CimMergeMountVerifiedImage");
  argImages(&call, numCimPaths, images);
  argNumber(&call, "flags", flags);
  argVolume(&call, volumeId);
  argHash(&call, hashSize, hash);
  return closeMount(&call, volumeId);
}

EXPORT HRESULT CimDismountImage(const uint8_t *volumeId) {
  Call call = callOpen("cimfs", "CimDismountImage");
  argVolume(&call, volumeId);
  if (!callFails(&call) && volumeId) setVolume(volumeId, false);
  return callClose(&call);
}
