#!/bin/sh
# build.sh OUT: compiles the recording DLLs and cycle.exe into OUT.
set -eu
cd "$(dirname "$0")"
out=$1
cc() {
  x86_64-w64-mingw32-gcc -std=c17 -O2 -s -Wall -Wextra -Werror -static-libgcc "$@"
}
cc -shared -o "$out/hcsrecorder.dll" recorder.c
cc -shared -o "$out/vmcompute.dll" vmcompute.c vmcompute_hcs.c recorder.def "$out/hcsrecorder.dll" -lole32
cc -shared -o "$out/cimfs.dll" cimfs.c cim_writer.c recorder.def "$out/hcsrecorder.dll"
cc -shared -o "$out/offreg.dll" offreg.c recorder.def "$out/hcsrecorder.dll"
cc -shared -o "$out/computestorage.dll" computestorage.c recorder.def "$out/hcsrecorder.dll"
cc -shared -o "$out/virtdisk.dll" virtdisk.c virtdisk.def recorder.def "$out/hcsrecorder.dll"
cc -shared -o "$out/hcsmountpoints.dll" hcsmountpoints.c hcsmountpoints.def recorder.def "$out/hcsrecorder.dll"
cc -shared -o "$out/hcsquick.dll" hcsquick.c hcsquick.def "$out/hcsrecorder.dll"
cc -shared -o "$out/hvsockets.dll" hvsockets.c hvsockets.def -lws2_32
cc -shared -o "$out/probe.dll" probe.c
cc -municode -o "$out/run.exe" run.c
cc -municode -o "$out/cycle.exe" cycle.c "$out/vmcompute.dll" "$out/hcsrecorder.dll"
