/*
 * run.exe PROGRAM ARGUMENT…: runs a program, and ends with its exit code. Wine loses the exit code of a process with
 * many threads once in a while, where it tells it to Linux; what it tells to Windows programs is always right.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <stdbool.h>
#include <stdio.h>

/* The command line from its second argument on; the first one is a path, so no quotation mark in it is escaped. */
static wchar_t *rest(wchar_t *line) {
  bool quoted = false;
  for (; *line && (quoted || *line != ' '); line++) {
    if (*line == '"') quoted = !quoted;
  }
  while (*line == ' ') line++;
  return line;
}

int wmain(void) {
  /* What kills this process is to kill the program too. */
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {
    .BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
  };
  HANDLE job = CreateJobObjectW(NULL, NULL);
  SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
  STARTUPINFOW startup = {.cb = sizeof startup};
  PROCESS_INFORMATION process;
  DWORD code = 1;
  if (!CreateProcessW(NULL, rest(GetCommandLineW()), NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &startup, &process)) {
    fprintf(stderr, "run.exe can't start it: error %lu\n", GetLastError());
    return 127;
  }
  AssignProcessToJobObject(job, process.hProcess);
  ResumeThread(process.hThread);
  WaitForSingleObject(process.hProcess, INFINITE);
  GetExitCodeProcess(process.hProcess, &code);
  return (int)code;
}
