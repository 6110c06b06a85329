/**
 * A simulated Windows host, for testing programs that mount layers. It runs on every operating system, and needs no
 * permission.
 *
 * {@linkcode SimulatedHost} is a machine with Windows, in memory or in a file. Every function of the library works on it
 * if you pass it as the option `host`. It keeps the state that Windows keeps: files and folders, attached disks, filters,
 * mounted images, virtual machines. In a test, add the layers that the program expects, make native calls fail, and
 * check what the program calls and what it leaves behind:
 *
 * ```ts
 * import { mountWCOWLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost({ build: 20348 });
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * const folders = ["C:\\layers\\base", "C:\\scratch"];
 *
 * host.fail({ function: "PrepareLayer", code: 5 }); // ERROR_ACCESS_DENIED
 * await mountWCOWLayers("c1", folders, { host }).catch((error) => console.log(error.message));
 * console.log(host.held()); // []
 *
 * host.failNothing();
 * await using layers = await mountWCOWLayers("c1", folders, { host });
 * console.log(layers.path, host.held().map(({ kind }) => kind)); // \\?\Volume{…}\ [ "activation", "filter" ]
 * console.log(host.calls.at(-1)); // the last native call, with its arguments and its result
 * ```
 *
 * Its functions return what Windows was seen to return, in public logs and on real hosts. If nobody has seen what Windows
 * does in a situation, the simulation doesn't guess: it throws a {@linkcode SimulationError}.
 *
 * @module
 */

export type { ObservedAnswers } from "./answers.ts";
export { SimulatedHost } from "./simulated_host.ts";
export type { HeldKind, HeldResource } from "./held.ts";
export type { SimulatedHostOptions, UnknownCall } from "./simulation_options.ts";
export type { OpenFileOptions } from "./simulated_host.ts";
export type { SimulatedClock } from "./clock.ts";
export type { CompanyOptions, ScannerOptions } from "./company.ts";
export type { Completion, NotificationName } from "./compute_service.ts";
export type { Effect, InjectedFailure } from "./failures.ts";
export type { ImageFile, ImageFiles } from "./image_files.ts";
export type { Injection } from "./injections.ts";
export type { Connection, GuestNetwork } from "./guest_network.ts";
export type { FileContent, LayerContents } from "./contents.ts";
export type { BeforeOptions } from "./interventions.ts";
export type { FileUse } from "./open_files.ts";
export type { MachineSnapshot } from "./snapshot.ts";
export type { CompletedCall, NativeCall } from "./trace.ts";
export type { Acquirer, FileAttribute, FileSystem } from "./windows.ts";
export { SimulationError } from "./simulation_error.ts";
