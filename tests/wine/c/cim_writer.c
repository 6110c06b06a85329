/*
 * cimfs.dll: writing images. An image that is committed, or that has a file of its own, is there as a file, with a byte of
 * content. What is written into it is recorded, and nothing else: no path is looked at, and no order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include "recorder.h"

/* CIMFS_FILE_METADATA. */
typedef struct {
  uint32_t attributes, reserved;
  int64_t fileSize;
  uint64_t creationTime, lastWriteTime, changeTime, lastAccessTime;
  const void *security;
  uint32_t securitySize, reserved2;
  const void *reparse;
  uint32_t reparseSize, reserved3;
  const void *ea;
  uint32_t eaSize, reserved4;
} FileMetadata;

_Static_assert(sizeof(FileMetadata) == 96, "CIMFS_FILE_METADATA");

typedef struct {
  wchar_t *path;
} Image;

static void argHandle(Call *call, const char *key, const void *handle) { argPointer(call, key, handle); }

static void createFile(const wchar_t *path) {
  FILE *file = _wfopen(path, L"wb");
  if (!file) return;
  fputc('C', file);
  fclose(file);
}

static HRESULT closeImageCall(Call *call, const wchar_t *folder, const wchar_t *name, Image **image) {
  if (!callFails(call)) {
    size_t units = wcslen(folder) + (name ? wcslen(name) : 0) + 2;
    *image = malloc(sizeof **image);
    (*image)->path = malloc(units * sizeof(wchar_t));
    wcscpy((*image)->path, folder);
    if (name) wcscat(wcscat((*image)->path, L"\\"), name);
    else createFile(folder);
  }
  return callClose(call);
}

EXPORT HRESULT CimCreateImage(
  const wchar_t *folder, const wchar_t *oldName, const wchar_t *newName, Image **image
) {
  Call call = callOpen("cimfs", "CimCreateImage");
  argWide(&call, "folder", folder);
  argWide(&call, "oldName", oldName);
  argWide(&call, "newName", newName);
  return closeImageCall(&call, folder, newName, image);
}

EXPORT HRESULT CimCreateImage2(
  const wchar_t *block, uint32_t flags, const wchar_t *oldName, const wchar_t *newName, Image **image
) {
  Call call = callOpen("cimfs", "CimCreateImage2");
  argWide(&call, "block", block);
  argNumber(&call, "flags", flags);
  argWide(&call, "oldName", oldName);
  argWide(&call, "newName", newName);
  return closeImageCall(&call, block, NULL, image);
}

EXPORT HRESULT CimCommitImage(Image *image) {
  Call call = callOpen("cimfs", "CimCommitImage");
  argHandle(&call, "image", image);
  if (!callFails(&call)) createFile(image->path);
  return callClose(&call);
}

EXPORT void CimCloseImage(Image *image) {
  Call call = callOpen("cimfs", "CimCloseImage");
  argHandle(&call, "image", image);
  free(image->path);
  free(image);
  callClose(&call);
}

static void argPart(Call *call, const char *key, const void *bytes, uint32_t size) {
  char name[32];
  snprintf(name, sizeof name, "%sSize", key);
  argPointer(call, key, bytes);
  argNumber(call, name, size);
  if (bytes) argRaw(call, key, bytes, size);
}

EXPORT HRESULT CimCreateFile(void *image, const wchar_t *path, const FileMetadata *metadata, void **stream) {
  Call call = callOpen("cimfs", "CimCreateFile");
  argHandle(&call, "image", image);
  argWide(&call, "path", path);
  argNumber(&call, "attributes", metadata->attributes);
  argNumber(&call, "fileSize", (uint64_t)metadata->fileSize);
  argPart(&call, "securityDescriptor", metadata->security, metadata->securitySize);
  argPart(&call, "reparse", metadata->reparse, metadata->reparseSize);
  argPart(&call, "ea", metadata->ea, metadata->eaSize);
  argRaw(&call, "metadata", metadata, 48);
  if (!callFails(&call)) *stream = malloc(1);
  return callClose(&call);
}

EXPORT HRESULT CimCreateAlternateStream(void *image, const wchar_t *path, uint64_t size, void **stream) {
  Call call = callOpen("cimfs", "CimCreateAlternateStream");
  argHandle(&call, "image", image);
  argWide(&call, "path", path);
  argNumber(&call, "size", size);
  if (!callFails(&call)) *stream = malloc(1);
  return callClose(&call);
}

EXPORT HRESULT CimWriteStream(void *stream, const void *data, uint32_t size) {
  Call call = callOpen("cimfs", "CimWriteStream");
  argHandle(&call, "stream", stream);
  argNumber(&call, "size", size);
  argRaw(&call, "data", data, size < 32 ? size : 32);
  callFails(&call);
  return callClose(&call);
}

EXPORT void CimCloseStream(void *stream) {
  Call call = callOpen("cimfs", "CimCloseStream");
  argHandle(&call, "stream", stream);
  free(stream);
  callClose(&call);
}

static HRESULT closeWithPaths(const char *fn, void *image, const wchar_t *path, const wchar_t *existing) {
  Call call = callOpen("cimfs", fn);
  argHandle(&call, "image", image);
  argWide(&call, "path", path);
  if (existing) argWide(&call, "existing", existing);
  callFails(&call);
  return callClose(&call);
}

EXPORT HRESULT CimCreateHardLink(void *image, const wchar_t *path, const wchar_t *existing) {
  return closeWithPaths("CimCreateHardLink", image, path, existing);
}

EXPORT HRESULT CimCreateMergeLink(void *image, const wchar_t *path, const wchar_t *existing) {
  return closeWithPaths("CimCreateMergeLink", image, path, existing);
}

EXPORT HRESULT CimDeletePath(void *image, const wchar_t *path) {
  return closeWithPaths("CimDeletePath", image, path, NULL);
}

EXPORT HRESULT CimTombstoneFile(void *image, const wchar_t *path) {
  return closeWithPaths("CimTombstoneFile", image, path, NULL);
}

EXPORT HRESULT CimAddFsToMergedImage2(void *image, const wchar_t *path, uint32_t flags) {
  Call call = callOpen("cimfs", "CimAddFsToMergedImage2");
  argHandle(&call, "image", image);
  argWide(&call, "path", path);
  argNumber(&call, "flags", flags);
  callFails(&call);
  return callClose(&call);
}

static void putHash(uint64_t *hashSize, uint64_t *headerSize, uint8_t *hash) {
  *hashSize = 32;
  *headerSize = 4096;
  for (int i = 0; i < 32; i++) hash[i] = (uint8_t)(i + 1);
}

EXPORT HRESULT CimSealImage(const wchar_t *block, uint64_t *hashSize, uint64_t *headerSize, uint8_t *hash) {
  Call call = callOpen("cimfs", "CimSealImage");
  argWide(&call, "block", block);
  if (!callFails(&call)) putHash(hashSize, headerSize, hash);
  return callClose(&call);
}

EXPORT HRESULT CimGetVerificationInformation(
  const wchar_t *block, uint32_t *isSealed, uint64_t *hashSize, uint64_t *signatureSize, uint64_t *headerSize,
  uint8_t *hash, uint8_t *signature
) {
  Call call = callOpen("cimfs", "CimGetVerificationInformation");
  argWide(&call, "block", block);
  argNumber(&call, "hashSize", *hashSize);
  argPointer(&call, "signature", signature);
  if (!callFails(&call)) {
    *isSealed = 1;
    *signatureSize = 0;
    putHash(hashSize, headerSize, hash);
  }
  return callClose(&call);
}
