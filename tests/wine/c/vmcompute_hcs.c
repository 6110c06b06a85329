/*
 * vmcompute.dll: the functions for compute systems. A handle is the number of the system, from 1. Operations complete at
 * once; in late mode (RecorderLate, or HCS_RECORD_LATE in the environment) they answer that they are pending, and
 * complete 3 ms later on another thread. A notification can be told to fail by its name, such as SystemStartCompleted.
 */
#include "recorder.h"
#include <objbase.h>
#include <stdlib.h>
#include <wchar.h>

#define PENDING ((HRESULT)0xC0370103)
#define MAX_SYSTEMS 4096
#define LATE_MS 3

typedef void CALLBACK Notify(uint32_t type, void *context, HRESULT status, const wchar_t *data);

typedef struct {
  wchar_t *id;
  bool linux, running;
  Notify *notify;
  void *context;
  SRWLOCK calling; /* shared while the callback runs, exclusive to take it away */
} System;

typedef struct {
  System *system;
  uint32_t type;
  HRESULT status;
  HMODULE self; /* the process may be done with this DLL before the thread is */
} Notification;

static SRWLOCK lock = SRWLOCK_INIT;
static CONDITION_VARIABLE registered = CONDITION_VARIABLE_INIT;
static System systems[MAX_SYSTEMS];
static size_t systemsUsed;
static volatile LONG late = -1;

EXPORT void RecorderLate(int on) { late = on; }

static bool isLate(void) {
  if (late < 0) late = GetEnvironmentVariableW(L"HCS_RECORD_LATE", NULL, 0) != 0;
  return late > 0;
}

static Call open(const char *fn) { return callOpen("vmcompute", fn); }

static System *systemOf(size_t handle) { return handle && handle <= systemsUsed ? &systems[handle - 1] : NULL; }

static Call openSystem(const char *fn, size_t handle) {
  Call call = open(fn);
  System *system = systemOf(handle);
  argNumber(&call, "computeSystem", handle);
  argWide(&call, "computeSystemId", system ? system->id : NULL);
  return call;
}

static DWORD WINAPI deliver(void *argument) {
  Notification *notification = argument;
  System *system = notification->system;
  if (isLate()) Sleep(LATE_MS);
  /* Whoever creates a system registers its callback only then. */
  AcquireSRWLockExclusive(&lock);
  while (!system->notify && system->id) {
    if (!SleepConditionVariableSRW(&registered, &lock, 1000, 0)) break;
  }
  ReleaseSRWLockExclusive(&lock);
  AcquireSRWLockShared(&system->calling);
  if (system->notify) system->notify(notification->type, system->context, notification->status, NULL);
  ReleaseSRWLockShared(&system->calling);
  HMODULE self = notification->self;
  free(notification);
  FreeLibraryAndExitThread(self, 0);
}

/* Tells of an event on a thread of its own. */
static void notify(System *system, uint32_t type, const char *name) {
  Notification *notification = malloc(sizeof *notification);
  if (!notification) abort();
  Call told = open(name);
  bool fails = callFails(&told);
  *notification = (Notification){.system = system, .type = type, .status = fails ? told.hr : S_OK};
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, (const wchar_t *)(void *)deliver, &notification->self);
  CloseHandle(CreateThread(NULL, 0, deliver, notification, 0, NULL));
}

static void copyOut(Call *call, const char *key, wchar_t **out, const wchar_t *text) {
  size_t size = (wcslen(text) + 1) * sizeof *text;
  *out = CoTaskMemAlloc(size);
  if (!*out) abort();
  memcpy(*out, text, size);
  outWide(call, key, text);
}

EXPORT HRESULT HcsCreateComputeSystem(
  const wchar_t *id, const wchar_t *configuration, void *identity, size_t *computeSystem, wchar_t **result
) {
  Call call = open("HcsCreateComputeSystem");
  argWide(&call, "id", id);
  argWide(&call, "configuration", configuration);
  argPointer(&call, "identity", identity);
  *result = NULL;
  if (callFails(&call)) return callClose(&call);
  AcquireSRWLockExclusive(&lock);
  if (systemsUsed == MAX_SYSTEMS) abort();
  System *system = &systems[systemsUsed++];
  *computeSystem = systemsUsed;
  ReleaseSRWLockExclusive(&lock);
  InitializeSRWLock(&system->calling);
  system->id = _wcsdup(id);
  system->linux = wcsstr(configuration, L"LinuxKernelDirect") || wcsstr(configuration, L"/bin/gcs");
  outNumber(&call, "computeSystem", *computeSystem);
  if (isLate()) {
    call.hr = PENDING;
    notify(system, 2, "SystemCreateCompleted");
  }
  return callClose(&call);
}

EXPORT HRESULT HcsOpenComputeSystem(const wchar_t *id, size_t *computeSystem, wchar_t **result) {
  Call call = open("HcsOpenComputeSystem");
  argWide(&call, "id", id);
  *result = NULL;
  if (callFails(&call)) return callClose(&call);
  call.hr = (HRESULT)0x8037010E;
  for (size_t i = systemsUsed; i > 0 && call.hr; i--) {
    if (wcscmp(systems[i - 1].id, id)) continue;
    call.hr = S_OK;
    outNumber(&call, "computeSystem", *computeSystem = i);
  }
  return callClose(&call);
}

EXPORT HRESULT HcsCloseComputeSystem(size_t computeSystem) {
  Call call = openSystem("HcsCloseComputeSystem", computeSystem);
  callFails(&call);
  return callClose(&call);
}

static HRESULT operate(const char *fn, size_t handle, const wchar_t *options, wchar_t **result, uint32_t type, const char *name) {
  Call call = openSystem(fn, handle);
  argWide(&call, "options", options);
  *result = NULL;
  System *system = systemOf(handle);
  if (callFails(&call) || !system) return callClose(&call);
  if (isLate()) {
    call.hr = PENDING;
    notify(system, type, name);
  } else if (type == 1) {
    notify(system, type, name);
  }
  system->running = type != 1;
  return callClose(&call);
}

#define OPERATION(name, type, event) \
  EXPORT HRESULT name(size_t computeSystem, const wchar_t *options, wchar_t **result) { \
    return operate(#name, computeSystem, options, result, type, event); \
  }

OPERATION(HcsStartComputeSystem, 3, "SystemStartCompleted")
OPERATION(HcsShutdownComputeSystem, 1, "SystemExited")
OPERATION(HcsTerminateComputeSystem, 1, "SystemExited")
OPERATION(HcsPauseComputeSystem, 4, "SystemPauseCompleted")
OPERATION(HcsResumeComputeSystem, 5, "SystemResumeCompleted")
OPERATION(HcsSaveComputeSystem, 8, "SystemSaveCompleted")

EXPORT HRESULT HcsModifyComputeSystem(size_t computeSystem, const wchar_t *configuration, wchar_t **result) {
  Call call = openSystem("HcsModifyComputeSystem", computeSystem);
  argWide(&call, "configuration", configuration);
  *result = NULL;
  callFails(&call);
  return callClose(&call);
}

EXPORT HRESULT HcsGetComputeSystemProperties(
  size_t computeSystem, const wchar_t *propertyQuery, wchar_t **properties, wchar_t **result
) {
  static const wchar_t guest[] =
    L",\"GuestConnectionInfo\":{\"SupportedSchemaVersions\":[{\"Major\":2,\"Minor\":1}],\"ProtocolVersion\":4,"
    L"\"GuestDefinedCapabilities\":{\"NamespaceAddRequestSupported\":true,\"SignalProcessSupported\":true,"
    L"\"DumpStacksSupported\":true,\"DeleteContainerStateSupported\":true,\"UpdateContainerSupported\":true}}";
  Call call = openSystem("HcsGetComputeSystemProperties", computeSystem);
  argWide(&call, "propertyQuery", propertyQuery);
  *properties = *result = NULL;
  System *system = systemOf(computeSystem);
  if (callFails(&call) || !system) return callClose(&call);
  uint8_t runtime[16];
  wchar_t runtimeId[37], text[1024];
  guidOf(L"runtime:", system->id, runtime);
  guidText(runtime, runtimeId);
  _snwprintf(
    text, 1024,
    L"{\"Id\":\"%ls\",\"SystemType\":\"VirtualMachine\",\"RuntimeOsType\":\"%ls\",\"RuntimeId\":\"%ls\","
    L"\"State\":\"%ls\",\"Owner\":\"recorder\"%ls}",
    system->id, system->linux ? L"Linux" : L"Windows", runtimeId, system->running ? L"Running" : L"Created",
    propertyQuery && wcsstr(propertyQuery, L"GuestConnection") ? guest : L""
  );
  copyOut(&call, "properties", properties, text);
  return callClose(&call);
}

EXPORT HRESULT HcsGetServiceProperties(const wchar_t *propertyQuery, wchar_t **properties, wchar_t **result) {
  Call call = open("HcsGetServiceProperties");
  argWide(&call, "propertyQuery", propertyQuery);
  *properties = *result = NULL;
  if (callFails(&call)) return callClose(&call);
  copyOut(
    &call, "properties", properties,
    L"{\"Properties\":[{\"LogicalProcessorCount\":2,\"LogicalProcessors\":["
    L"{\"LpIndex\":0,\"NodeNumber\":0,\"PackageId\":0,\"CoreId\":0,\"RootVpIndex\":0},"
    L"{\"LpIndex\":1,\"NodeNumber\":0,\"PackageId\":0,\"CoreId\":1,\"RootVpIndex\":1}]}]}"
  );
  return callClose(&call);
}

EXPORT HRESULT HcsModifyServiceSettings(const wchar_t *settings, wchar_t **result) {
  Call call = open("HcsModifyServiceSettings");
  argWide(&call, "settings", settings);
  *result = NULL;
  callFails(&call);
  return callClose(&call);
}

EXPORT HRESULT HcsEnumerateComputeSystems(const wchar_t *query, wchar_t **computeSystems, wchar_t **result) {
  Call call = open("HcsEnumerateComputeSystems");
  argWide(&call, "query", query);
  *computeSystems = *result = NULL;
  if (!callFails(&call)) copyOut(&call, "computeSystems", computeSystems, L"[]");
  return callClose(&call);
}

EXPORT HRESULT HcsRegisterComputeSystemCallback(
  size_t computeSystem, Notify *callback, void *context, size_t *callbackHandle
) {
  Call call = openSystem("HcsRegisterComputeSystemCallback", computeSystem);
  argPointer(&call, "callback", callback);
  System *system = systemOf(computeSystem);
  if (callFails(&call) || !system) return callClose(&call);
  AcquireSRWLockExclusive(&lock);
  system->context = context;
  system->notify = callback;
  ReleaseSRWLockExclusive(&lock);
  WakeAllConditionVariable(&registered);
  outNumber(&call, "callbackHandle", *callbackHandle = computeSystem);
  return callClose(&call);
}

/* Waits for a callback that is running. */
EXPORT HRESULT HcsUnregisterComputeSystemCallback(size_t callbackHandle) {
  Call call = open("HcsUnregisterComputeSystemCallback");
  argNumber(&call, "callbackHandle", callbackHandle);
  System *system = systemOf(callbackHandle);
  if (callFails(&call) || !system) return callClose(&call);
  AcquireSRWLockExclusive(&system->calling);
  system->notify = NULL;
  ReleaseSRWLockExclusive(&system->calling);
  return callClose(&call);
}
