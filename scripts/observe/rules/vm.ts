/**
 * Rules of a Windows VM that runs. Each creates one, which takes a while and some memory. They need a base layer with the
 * folder `UtilityVM`, and `--allow-ffi` without a path.
 *
 * @module
 */

import { createUtilityVM, GuestConnectionError, type Host, type UtilityVM } from "../../../mod.ts";
import { deadline } from "../../../src/ffi/operation.ts";
import { grantVmAccess } from "../../../src/ffi/vmcompute.ts";
import { closeSystem, modifySystem, openSystem, operate, stopSystem } from "../../../src/ffi/vmcompute_hcs.ts";
import type { ModifySettingRequest } from "../../../src/hcsschema/requests.ts";
import type { Bench } from "../bench.ts";
import { CantBeAsked, known, type Rule, type Step } from "../rule.ts";
import * as $ from "../steps.ts";

const BLANK = "d.vhdx";
const OTHER = "e.vhdx";
// The id of the first controller, which is the same in all VMs.
const CONTROLLER = "df6d0690-79e5-55b6-a5ec-c1e2f77f580a";
const SHARES = "VirtualMachine/Devices/VirtualSmb/Shares";

const idOf = (bench: Bench) => `hcs-layers-observe-${bench.folder.slice(bench.folder.lastIndexOf("\\") + 1)}`;

const create: Step = async (bench) => {
  await $.folder("vm")(bench);
  const id = idOf(bench);
  const layerFolders = [bench.vmBase, bench.path("vm")];
  bench.expectVM(id, await createUtilityVM({ os: "windows", id, layerFolders }, { host: withoutRecords(bench.host) }));
};

// Nothing is changed outside the folder of the rules.
function withoutRecords(host: Host): Host {
  return {
    machine: host.machine,
    symbols: (dll) => host.symbols(dll),
    sleep: (ms, signal) => host.sleep(ms, signal),
    deadline: (ms, signal) => deadline(host, ms, signal),
    callback: (listener) => host.callback(listener),
    records: false,
  };
}

const start: Step = async (bench) => {
  const begin = performance.now();
  try {
    await bench.vm.start({ signal: bench.signal });
  } catch (error) {
    if (error instanceof GuestConnectionError) throw new CantBeAsked(error.message);
    throw error;
  }
  bench.took("start of the VM", performance.now() - begin);
};
const running = [create, start];
const ended = [...running, ((bench) => bench.vm.terminate()) as Step];

const modify = (request: (bench: Bench) => ModifySettingRequest): Step => (bench) => bench.vm.modify(request(bench));
const attach = (disk: string, lun: number, controller = CONTROLLER): Step =>
  modify((bench) => ({
    ResourcePath: `VirtualMachine/Devices/Scsi/${controller}/Attachments/${lun}`,
    RequestType: "Add",
    Settings: { Type: "VirtualDisk", Path: bench.path(disk) },
  }));
const detach = (lun: number): Step =>
  modify(() => ({
    ResourcePath: `VirtualMachine/Devices/Scsi/${CONTROLLER}/Attachments/${lun}`,
    RequestType: "Remove",
  }));
const grant = (disk: string): Step => (bench) => grantVmAccess(bench.host, bench.vm.id, bench.path(disk));
const shareRequest = (bench: Bench, name: string, folder: string, resource = SHARES): ModifySettingRequest => ({
  ResourcePath: resource,
  RequestType: "Add",
  Settings: { Name: name, Path: bench.path(folder) },
});
const share = (name: string, folder: string, resource?: string): Step =>
  modify((bench) => shareRequest(bench, name, folder, resource));
const unshare = (name: string): Step =>
  modify(() => ({ ResourcePath: SHARES, RequestType: "Remove", Settings: { Name: name } }));

// Calls something with a handle of its own of the VM.
const withHandle = (call: (bench: Bench, system: bigint, vm: UtilityVM) => Promise<unknown>): Step => async (bench) => {
  const { vm, host } = bench;
  const system = await openSystem(host, vm.id);
  try {
    await call(bench, system, vm);
  } finally {
    await closeSystem(host, system, vm.id);
  }
};
const startAgain = withHandle(({ host }, system, { id }) => operate(host, "HcsStartComputeSystem", system, id));

const withDisk = [...running, ...$.disk(), grant(BLANK)];
const occupied = [...withDisk, attach(BLANK, 5)];

/** Rules of a VM that runs. */
export const vmRules: readonly Rule[] = [
  {
    id: "HcsStartComputeSystem.windows",
    asks: "Does a Windows VM start, whose guest talks to Windows' own connection?",
    given: [create],
    ask: [start],
  },
  {
    id: "HcsStartComputeSystem.running",
    asks: "What does HcsStartComputeSystem return for a VM that runs?",
    given: running,
    ask: [startAgain],
    known: known(0xc0370105),
  },
  {
    id: "HcsStartComputeSystem.ended",
    asks: "What does HcsStartComputeSystem return for a VM that has ended?",
    given: ended,
    ask: [startAgain],
    known: known(0xc0370110),
  },
  {
    id: "HcsTerminateComputeSystem.ended",
    asks: "What does HcsTerminateComputeSystem return for a VM that has ended?",
    given: ended,
    ask: [withHandle(({ host }, system, { id }) => stopSystem(host, "HcsTerminateComputeSystem", system, id))],
  },
  {
    id: "HcsModifyComputeSystem.created",
    asks: "What does HcsModifyComputeSystem return for a VM that isn't started?",
    given: [create, $.folder("f")],
    // By a handle of its own, as the library refuses this.
    ask: [withHandle((bench, system, { id }) => modifySystem(bench.host, system, id, shareRequest(bench, "f", "f")))],
  },
  {
    id: "VSMB.add",
    asks: "Can a folder be shared with a VM?",
    given: [...running, $.folder("f")],
    ask: [share("f", "f")],
    known: known({}),
  },
  {
    id: "VSMB.index",
    asks: "What does sharing a folder return if the resource names the share?",
    given: [...running, $.folder("f")],
    ask: [share("f", "f", `${SHARES}/f`)],
    known: known(0x80070057),
  },
  {
    id: "VSMB.same-name",
    asks: "What does sharing a folder return with a name that is in use?",
    given: [...running, $.folder("f"), $.folder("g"), share("f", "f")],
    ask: [share("f", "g")],
    known: known("nobody knows"),
  },
  {
    id: "VSMB.remove-none",
    asks: "What does removing a share return that there isn't?",
    given: running,
    ask: [unshare("none")],
    known: known("nobody knows"),
  },
  {
    id: "VSMB.together",
    asks: "Can four folders be shared with a VM at the same time?",
    given: [...running, ...["f", "g", "h", "i"].map((name) => $.folder(name))],
    ask: [(bench) => Promise.all(["f", "g", "h", "i"].map((name) => share(name, name)(bench))).then(() => {})],
  },
  {
    id: "SCSI.add",
    asks: "Can a disk be attached to a VM?",
    given: withDisk,
    ask: [attach(BLANK, 5)],
    known: known({}),
  },
  {
    id: "SCSI.no-file",
    asks: "What does attaching a disk return without a file?",
    given: running,
    ask: [attach("no.vhdx", 5)],
    known: known(0x80070002),
  },
  {
    id: "SCSI.no-folder",
    asks: "What does attaching a disk return without a folder?",
    given: running,
    ask: [attach("no\\no.vhdx", 5)],
    known: known(0x80070003),
  },
  {
    id: "SCSI.no-access",
    asks: "What does attaching a disk return that the VM may not open?",
    given: [...running, ...$.disk()],
    ask: [attach(BLANK, 5)],
    known: known(0x80070005),
  },
  {
    id: "SCSI.active",
    asks: "What does attaching the disk of an activated scratch return?",
    given: [...running, $.scratch(), grant($.DISK), $.activate()],
    ask: [attach($.DISK, 5)],
    known: known(0x80070020),
  },
  {
    id: "SCSI.controller-number",
    asks: "What does attaching a disk return if the controller is named by its number?",
    given: withDisk,
    ask: [attach(BLANK, 5, "0")],
    known: known(0x80070490),
  },
  {
    id: "SCSI.occupied",
    asks: "What does attaching a disk return at a place that is taken?",
    given: [...occupied, ...$.disk(OTHER), grant(OTHER)],
    ask: [attach(OTHER, 5)],
    known: known("nobody knows"),
  },
  {
    id: "SCSI.same-file",
    asks: "What does attaching a disk return that is attached to the VM already?",
    given: occupied,
    ask: [attach(BLANK, 6)],
    known: known("nobody knows"),
  },
  {
    id: "SCSI.remove-none",
    asks: "What does detaching a disk return from a place that is empty?",
    given: running,
    ask: [detach(7)],
    known: known("nobody knows"),
  },
  {
    id: "SCSI.file-free",
    asks: "Is the file of a disk free once it is detached from the VM, and when?",
    given: occupied,
    ask: [
      detach(5),
      (bench) =>
        bench.until(
          "until the file is free",
          () => $.isFree(bench.host, bench.path(BLANK), { access: 0x80000000, share: 0 }),
        ),
    ],
  },
];
