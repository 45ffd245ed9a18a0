/** One page for several processes. */
import { expect, test } from "bun:test";
import { mergedPage } from "./merged-page.ts";

test("samples of one metric stand together, each with its node; who does not answer is told as down", () => {
  const first = '# HELP a All of a\n# TYPE a counter\na 1\n\n# HELP b Some\n# TYPE b gauge\nb{x="} y"} 2\n';
  const second = '# HELP b Some\n# TYPE b gauge\nb{x="z"} 3\n# HELP c Late\n# TYPE c gauge\nc 4 1700000000\n';
  const pages = [
    { node: "m-1", text: first },
    { node: 'm"2', text: second },
    { node: "m-3", text: undefined },
  ];
  expect(mergedPage(pages)).toBe(
    [
      "# HELP meerkat_node_up 1 when this process has told its metrics",
      "# TYPE meerkat_node_up gauge",
      'meerkat_node_up{node="m-1"} 1',
      'meerkat_node_up{node="m\\"2"} 1',
      'meerkat_node_up{node="m-3"} 0',
      "",
      "# HELP a All of a",
      "# TYPE a counter",
      'a{node="m-1"} 1',
      "",
      "# HELP b Some",
      "# TYPE b gauge",
      'b{node="m-1",x="} y"} 2',
      'b{node="m\\"2",x="z"} 3',
      "",
      "# HELP c Late",
      "# TYPE c gauge",
      'c{node="m\\"2"} 4 1700000000',
      "",
    ].join("\n"),
  );
});

test("histograms keep their other labels", () => {
  const text = '# HELP h Some\n# TYPE h histogram\nh_bucket{le="0.1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n';
  const page = mergedPage([{ node: "n", text }]);
  expect(page).toContain('h_bucket{node="n",le="+Inf"} 2\nh_sum{node="n"} 3\nh_count{node="n"} 2\n');
});
