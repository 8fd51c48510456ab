// What our tree view is compared with: the usual way to draw a tree with D3, a group of SVG elements for every node, all of them
// expanded. The tree JSON comes from `window.treeData` (text), or from the address in `?file=`.

import { type HierarchyNode, hierarchy, tree } from 'd3-hierarchy';
import { select } from 'd3-selection';
import { type Transform, zoom as zoomBehaviour, zoomIdentity } from 'd3-zoom';

interface Raw {
  text: string;
  prob: number;
  children?: Raw[];
}

interface Ready {
  nodes: number;
  /** Text of the file to a tree. */
  parseMs: number;
  layoutMs: number;
  /** Making the elements. */
  drawMs: number;
  /** From the file's text to the first frame. */
  openMs: number;
}

interface Frames {
  median: number;
  p95: number;
  max: number;
  all: number[];
}

declare global {
  interface Window {
    treeData?: string;
    ready: Promise<Ready>;
    /** Sets the scale about the middle; resolves with the time to the next frame. */
    zoom(k: number): Promise<number>;
    /** Moves and zooms the picture for a number of frames, at about a scale. */
    pan(count: number, k: number): Promise<Frames>;
  }
}

const [ROW, COLUMN] = [24, 120];

const svg = select('svg');
const view = svg.append('g');
const behaviour = zoomBehaviour()
  .scaleExtent([0.001, 4])
  .on('zoom', (event) => view.attr('transform', event.transform.toString()));
svg.call(behaviour);

/** The time when the next frame has been drawn. */
const painted = (): Promise<number> =>
  // The first callback comes before the frame is drawn, the second after it.
  new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

const frame = (): Promise<number> => new Promise((done) => requestAnimationFrame(done));

async function text(): Promise<string> {
  if (window.treeData !== undefined) return window.treeData;
  const file = new URLSearchParams(location.search).get('file');
  if (file === null) throw new Error('give the file as ?file=…');
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file}: ${response.status}`);
  return response.text();
}

// The scale that is usual for probabilities in such pages: red, yellow, green.
const colour = (p: number): string => `hsl(${Math.round(Math.max(0, Math.min(1, p)) * 120)} 70% 50%)`;

function draw(root: HierarchyNode<Raw>): void {
  const nodes = root.descendants();
  view
    .append('g')
    .selectAll('path')
    .data(nodes.filter((n) => n.parent !== null))
    .join('path')
    .attr('class', 'link')
    .attr('d', (n) => {
      const { parent } = n;
      if (!parent) return '';
      const middle = (parent.y + n.y) / 2;
      return `M${parent.y},${parent.x}C${middle},${parent.x} ${middle},${n.x} ${n.y},${n.x}`;
    });
  const groups = view
    .append('g')
    .selectAll('g')
    .data(nodes)
    .join('g')
    .attr('class', 'node')
    .attr('transform', (n) => `translate(${n.y},${n.x})`);
  groups
    .append('circle')
    .attr('r', (n) => 4 + 6 * n.data.prob)
    .attr('fill', (n) => colour(n.data.prob));
  groups
    .append('text')
    .attr('dy', '0.32em')
    .attr('x', 14)
    .text((n) => n.data.text.slice(0, 15));
}

const middle = (k: number): Transform => zoomIdentity.translate(innerWidth / 2, innerHeight / 2).scale(k);

async function open(): Promise<Ready> {
  const json = await text();
  const start = performance.now();
  const file = JSON.parse(json) as { tree: Raw };
  const parsed = performance.now();
  const root = hierarchy(file.tree, (d) => d.children ?? []);
  tree<Raw>().nodeSize([ROW, COLUMN])(root);
  const laidOut = performance.now();
  draw(root);
  behaviour.transform(svg, middle(1));
  const drawn = performance.now();
  await painted();
  return {
    nodes: root.descendants().length,
    parseMs: parsed - start,
    layoutMs: laidOut - parsed,
    drawMs: drawn - laidOut,
    openMs: performance.now() - start,
  };
}

window.zoom = async (k) => {
  const start = performance.now();
  behaviour.transform(svg, middle(k));
  await painted();
  return performance.now() - start;
};

window.pan = async (count, k) => {
  const all: number[] = [];
  let last = await frame();
  for (let i = 0; i < count; i++) {
    behaviour.transform(svg, middle(k * (1 + 0.1 * Math.sin(i / 5))).translate(-i * 2, i));
    const now = await frame();
    all.push(now - last);
    last = now;
  }
  const sorted = [...all].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
  return { median: at(0.5), p95: at(0.95), max: at(1), all };
};

window.ready = open();
