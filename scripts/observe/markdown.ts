/**
 * The report, for people.
 *
 * @module
 */

import { nameOf } from "../../src/errors/codes.ts";
import { holdRow } from "../support/holds.ts";
import type { PlayedRule, Report, Verdict } from "./observation.ts";
import type { Outcome } from "./rule.ts";

const SECTIONS: readonly [Verdict, title: string][] = [
  ["different", "Windows does otherwise than the simulated host"],
  ["learned", "Nobody knew, and Windows has answered"],
  ["same", "As simulated"],
  ["not asked", "Could not be asked"],
];

/** How many rules there are of each kind, in one line. */
export function summary({ rules, interrupted }: Report): string {
  const counts = SECTIONS.map(([verdict]) => `${rules.filter((rule) => rule.verdict === verdict).length} ${verdict}`);
  return `${rules.length} rules: ${counts.join(", ")}${interrupted ? "; interrupted" : ""}`;
}

/** The report as Markdown. */
export function markdown(report: Report): string {
  const { windows: { build, revision }, isSimulated, tool, left } = report;
  const lines = [
    `# What Windows ${build}.${revision} does`,
    "",
    `${isSimulated ? "A simulated host, asked" : "Asked"} by \`observe\` of ${tool}. ${summary(report)}.`,
  ];
  if (left.length > 0) {
    lines.push("", "## Could not be cleaned up", "");
    lines.push(...left.map(({ hold, because }) => `- ${holdRow(hold).join(" ")}: ${because}`));
  }
  for (const [verdict, title] of SECTIONS) {
    const rules = report.rules.filter((rule) => rule.verdict === verdict);
    if (rules.length === 0) continue;
    lines.push(
      "",
      `## ${title}`,
      "",
      "| rule | question | simulated | observed | time |",
      "| --- | --- | --- | --- | --- |",
    );
    lines.push(...rules.map(row));
  }
  return `${lines.join("\n")}\n`;
}

function row({ rule, asks, simulated, observed, times = {} }: PlayedRule): string {
  const took = Object.entries(times).map(([what, ms]) => `${what}: ${ms} ms`).join("<br>");
  const cells = [rule, asks, simulated === undefined ? "" : shown(simulated), shown(observed), took];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
}

/** An outcome in few words. */
export function shown({ code, value, unknown, notAsked }: Outcome): string {
  if (notAsked !== undefined) return notAsked;
  if (unknown !== undefined || code === undefined) return "nobody knows";
  if (value !== undefined) return `${value}`;
  const name = nameOf(Number(code));
  return Number(code) === 0 ? "succeeds" : name === undefined ? code : `${code} ${name}`;
}
