/* The two structs of vmcompute.dll's storage functions. */
#ifndef HCS_VMCOMPUTE_H
#define HCS_VMCOMPUTE_H

#include <stdint.h>
#include <wchar.h>

typedef struct {
  int64_t flavour; /* 32 bits, but the caller is to clear the upper half: read it whole to see that it does */
  const wchar_t *homeDir;
} DriverInfo;

typedef struct {
  uint8_t layerId[16];
  uint32_t flags;
  const wchar_t *path;
} LayerDescriptor;

_Static_assert(sizeof(DriverInfo) == 16, "DriverInfo");
_Static_assert(sizeof(LayerDescriptor) == 32, "WC_LAYER_DESCRIPTOR");

#endif
