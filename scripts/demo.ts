/**
 * `deno task demo`: the life of a container's layers, or with `--vm` layers in VMs. Needs no Windows, and no permission.
 *
 * @module
 */

import { main } from "./support/command.ts";
import { CommandError, UsageError } from "./support/errors.ts";
import { program } from "./support/program.ts";

const help = `\
Shows the life of a container's layers, on a simulated Windows host.

Usage: ${program("demo")} [OPTION]

  --vm                 show layers in a Linux and in a Windows VM
  --version            print the version
  -h, --help           print this

Examples:
  ${program("demo")}
  ${program("demo")} --vm`;

if (import.meta.main) {
  await main({
    help,
    options: { vm: "boolean" },
    plan({ has, positionals: [extra] }) {
      if (extra !== undefined) throw new UsageError(`demo takes no argument, not ${extra}`);
      return {
        async run() {
          const { text, held } = has("vm")
            ? await (await import("./support/demo_vm.ts")).demoVMs()
            : await (await import("./support/demo_host.ts")).demoHost();
          if (held > 0) throw new CommandError(text);
          return { text };
        },
      };
    },
  });
}
