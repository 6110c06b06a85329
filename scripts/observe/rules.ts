/**
 * All rules of the simulated host that can be played on a host, and the open questions.
 *
 * @module
 */

import type { Rule } from "./rule.ts";
import { diskRules } from "./rules/disks.ts";
import { imageRules } from "./rules/images.ts";
import { layerRules } from "./rules/layers.ts";
import { mountPointRules } from "./rules/mount_points.ts";
import { storageRules } from "./rules/storage.ts";
import { systemRules } from "./rules/systems.ts";
import { vmRules } from "./rules/vm.ts";

const question = (id: string, asks: string, never: string): Rule => ({ id, asks, ask: [], never });

const OPEN: readonly Rule[] = [
  question(
    "process.death",
    "Which of activation, filter and image outlive the process?",
    "it would have to end in the middle: kill `deno task mount`, and look with `deno task unmount --json`",
  ),
  question("host.restart", "What is left after a restart of the host?", "the host would have to be restarted"),
  question(
    "host.not-elevated",
    "What does each function return without an elevated process?",
    "the process is elevated, as all other rules need it",
  ),
  question(
    "host.no-feature",
    "What does each function return without the feature Containers?",
    "the feature is there, as all other rules need it",
  ),
  question(
    "HcsSetComputeSystemCallback.twice",
    "What does a second registration of a callback return?",
    "callbacks need --allow-ffi without a path",
  ),
];

/** All rules, in the order in which they are played. */
export const RULES: readonly Rule[] = [
  ...layerRules,
  ...mountPointRules,
  ...diskRules,
  ...storageRules,
  ...imageRules,
  ...systemRules,
  ...vmRules,
  ...OPEN,
];
