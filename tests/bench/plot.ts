/**
 * `deno task bench:plot FILE SVG`: draws the curves that `deno task bench --json` has written into a file.
 *
 * @module
 */

/** Lines in one diagram. Both axes are logarithmic, so that a cost that grows as what it depends on is a slope of one. */
export interface Curve {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[];
}

const WIDTH = 720;
const HEIGHT = 260;
const MARGIN = { left: 70, right: 110, top: 40, bottom: 45 };
const COLORS = ["#b5422c", "#2c6fb5", "#3c8d4f", "#7a5aa6"];

/** Draws them one below the other. */
export function svg(curves: readonly Curve[]): string {
  const drawn = curves.filter(({ series }) => series.length > 0);
  const height = HEIGHT * drawn.length;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"
  font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
${drawn.map((curve, i) => `<g transform="translate(0 ${i * HEIGHT})">\n${diagram(curve)}\n</g>`).join("\n")}
</svg>
`;
}

function diagram({ title, x, y, series }: Curve): string {
  const points = series.flatMap(({ points }) => points);
  const across = scale(points.map(([value]) => value), MARGIN.left, WIDTH - MARGIN.right);
  const up = scale(points.map(([, value]) => value), HEIGHT - MARGIN.bottom, MARGIN.top);
  const base = HEIGHT - MARGIN.bottom;
  const lines = [`<text x="${MARGIN.left}" y="20" font-weight="bold">${title}</text>`];
  lines.push(`<text x="${WIDTH - MARGIN.right}" y="${HEIGHT - 8}" text-anchor="end">${x}</text>`);
  lines.push(`<text x="8" y="${MARGIN.top}">${y}</text>`);
  for (const value of new Set(points.map(([value]) => value))) {
    lines.push(`<text x="${across.at(value)}" y="${base + 18}" text-anchor="middle">${value}</text>`);
  }
  for (const value of up.ticks) {
    lines.push(`<path d="M${MARGIN.left} ${up.at(value)}H${WIDTH - MARGIN.right}" stroke="#ddd"/>`);
    lines.push(`<text x="${MARGIN.left - 6}" y="${up.at(value) + 4}" text-anchor="end">${value}</text>`);
  }
  series.forEach(({ name, points }, i) => {
    const color = COLORS[i % COLORS.length];
    const path = points.map(([px, py], n) => `${n === 0 ? "M" : "L"}${across.at(px)} ${up.at(py)}`).join("");
    lines.push(`<path d="${path}" fill="none" stroke="${color}" stroke-width="2"/>`);
    const [, last] = points.at(-1)!;
    lines.push(`<text x="${WIDTH - MARGIN.right + 8}" y="${up.at(last) + 4}" fill="${color}">${name}</text>`);
  });
  return lines.join("\n");
}

// A logarithmic scale from 1, 2 or 5 times a power of ten to another.
function scale(values: readonly number[], from: number, to: number) {
  const steps = Array.from({ length: 40 }, (_, i) => [1, 2, 5][i % 3]! * 10 ** (Math.floor(i / 3) - 4));
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const low = steps.findLast((step) => step <= least / 1.01) ?? steps[0]!;
  const high = steps.find((step) => step >= most * 1.01) ?? steps.at(-1)!;
  const part = (value: number) => Math.log(value / low) / Math.log(high / low);
  return {
    at: (value: number) => Math.round(from + part(value) * (to - from)),
    ticks: steps.filter((step) => step >= low && step <= high).map((step) => Number(step.toPrecision(1))),
  };
}

if (import.meta.main) {
  const [file, target] = Deno.args;
  if (file === undefined || target === undefined) {
    console.error("bench:plot needs the FILE that deno task bench --json has printed, and the SVG to write");
    Deno.exit(2);
  }
  await Deno.writeTextFile(target, svg(JSON.parse(await Deno.readTextFile(file)).curves));
}
