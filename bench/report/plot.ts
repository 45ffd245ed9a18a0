/** Plots of results as SVG, for docs/performance.md. */
import { writeFileSync } from "node:fs";
import { BarChart, LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { type EChartsCoreOption, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([BarChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

/** The same colour for a server in all plots. */
const colours: Readonly<Record<string, string>> = {
  meerkat: "#c2571a",
  ejabberd: "#4477aa",
  prosody: "#7a9a3c",
  floor: "#999999",
};
/** Of series that are not servers, in their order. */
const others = ["#c2571a", "#4477aa", "#7a9a3c", "#999999"];
const width = 720;
const font = { fontFamily: "sans-serif", fontSize: 12 };

export interface Bars {
  readonly title: string;
  readonly categories: readonly string[];
  /** A value for each category; undefined where there is none. */
  readonly series: readonly { readonly name: string; readonly values: readonly (number | undefined)[] }[];
  readonly digits: number;
}

export function writeBars(file: string, { title, categories, series, digits }: Bars): void {
  const height = 90 + categories.length * (series.length * 20 + 16);
  write(file, height, {
    title: titleOf(title),
    legend: { bottom: 0, data: series.map(({ name }) => name) },
    grid: { left: 40, right: 50, top: 40, bottom: 36, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    xAxis: { type: "value" },
    // The first case stands at the top, and in it the first server.
    yAxis: { type: "category", inverse: true, data: categories },
    series: series.map(({ name, values }, at) => ({
      name,
      type: "bar",
      itemStyle: { color: colours[name] ?? others[at % others.length] },
      barMaxWidth: 16,
      label: {
        show: true,
        position: "right",
        formatter: ({ value }: { value: number | undefined }) => (value === undefined ? "" : value.toFixed(digits)),
      },
      data: values.map((value) => value ?? "-"),
    })),
  });
}

export interface Line {
  readonly title: string;
  readonly xName: string;
  readonly points: readonly (readonly [number, number])[];
}

export function writeLine(file: string, { title, xName, points }: Line): void {
  write(file, 320, {
    title: titleOf(title),
    grid: { left: 40, right: 30, top: 40, bottom: 30, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    xAxis: { type: "value", name: xName, nameLocation: "middle", nameGap: 24 },
    yAxis: { type: "value", min: 0 },
    series: [{ type: "line", showSymbol: false, itemStyle: { color: colours.meerkat }, data: points }],
  });
}

function titleOf(text: string): object {
  return { text, left: 0, top: 0, textStyle: { ...font, fontSize: 14, fontWeight: "bold" } };
}

function write(file: string, height: number, option: EChartsCoreOption): void {
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  try {
    chart.setOption({ animation: false, backgroundColor: "#ffffff", textStyle: font, ...option });
    writeFileSync(file, `${chart.renderToSVGString()}\n`);
  } finally {
    chart.dispose();
  }
}
