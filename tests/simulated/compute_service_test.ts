import { assertThrows } from "jsr:@std/assert@^1.0.0";
import { AddressSpace } from "../../src/simulated/address_space.ts";
import { Scheduler } from "../../src/simulated/clock.ts";
import { ComputeService } from "../../src/simulated/compute_service.ts";
import { SimulationError } from "../../src/simulated/mod.ts";

Deno.test("a callback can't be disposed of while Windows may call it, and can after that", () => {
  const fault = (error: unknown) => {
    throw error;
  };
  const scheduler = new Scheduler({ mode: "manual", seed: undefined, fault });
  const service = new ComputeService(new AddressSpace(), () => "synchronous", () => 0, scheduler);
  const callback = service.callback(() => {});
  const registered = service.register({ system: 1n, id: "a", callback: callback.address, context: 0n })!;
  assertThrows(() => callback[Symbol.dispose](), SimulationError, "Windows may still call it");
  service.unregister(registered);
  callback[Symbol.dispose]();
});
