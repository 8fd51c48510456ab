// How fast the tree opens and moves, beside a page with one SVG element per node: npm run bench.
// LOGITREE_SEED_DIR/trees/sort_algorithm_tree.json is the sample of 8,979 nodes.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Page } from 'playwright-core';
import { test } from 'vitest';
import { createServer } from 'vite';
import { browse, serve } from '../e2e/browser';

/** A bushy tree as the notebook writes it. */
function synthetic(nodes: number): string {
  let made = 1;
  let seed = 7;
  const random = () => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed / 2147483648;
  };
  type Node = { text: string; token_id: number; prob: number; candidates: unknown[]; children: Node[] };
  const node = (prob: number): Node => ({ text: ` w${made}`, token_id: made++, prob, candidates: [], children: [] });
  const root = { ...node(1), text: 'P' };
  const open = [root];
  while (made < nodes) {
    const at = open.splice(Math.floor(random() * open.length), 1)[0] ?? root;
    const n = random() < 0.5 ? 1 : 3;
    for (let i = 0; i < n; i++) at.children.push(node(0.9 / n));
    open.push(...at.children);
  }
  return JSON.stringify({ metadata: { prompt: 'P', parameters: {} }, tree: root });
}

/** Median and worst milliseconds between frames while `move` is called in each of them. */
const frames = (page: Page, move: string): Promise<[number, number]> =>
  page.evaluate(async (source) => {
    const step = new Function('i', source) as (i: number) => void;
    const times: number[] = [];
    let last = 0;
    for (let i = 0; i < 90; i++) {
      step(i);
      const now = await new Promise<number>(requestAnimationFrame);
      if (i > 5) times.push(now - last);
      last = now;
    }
    times.sort((a, b) => a - b);
    return [times[Math.floor(times.length / 2)] ?? 0, times.at(-1) ?? 0] as [number, number];
  }, move);

const WHEEL = `const c = document.querySelector('.view canvas'); const r = c.getBoundingClientRect();
c.dispatchEvent(new WheelEvent('wheel', { bubbles: true, cancelable: true, clientX: r.left + 300, clientY: r.top + 150, deltaY: i % 30 < 15 ? -40 : 40 }));`;

test('opening and moving', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'logitree-bench-'));
  const files: [string, string][] = [['50,000 nodes', synthetic(50_000)]];
  const seed = process.env.LOGITREE_SEED_DIR;
  if (seed) files.unshift(['8,979 nodes', readFileSync(resolve(seed, 'trees/sort_algorithm_tree.json'), 'utf8')]);
  else console.log('LOGITREE_SEED_DIR is not set: only the synthetic tree');
  const browser = await browse();
  const vite = await createServer({ root: import.meta.dirname, logLevel: 'error' });
  await vite.listen();
  for (const [name, text] of files) {
    const path = join(folder, 'bench_tree.json');
    writeFileSync(path, text);
    const server = await serve(['view', path, '--port', '7960']);
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await page.goto(server.link);
    await page.getByRole('tab', { name: 'Tree' }).click();
    await page.waitForFunction('globalThis.__tree?.count() > 1');
    const start = Date.now();
    await page.reload();
    await page.waitForFunction('globalThis.__tree?.count() > 1');
    const open = Date.now() - start;
    const [median, worst] = await frames(page, WHEEL);
    const memory = await page.evaluate('performance.memory.usedJSHeapSize / 1e6');
    console.log(
      `${name}: opens in ${open} ms; a frame takes ${median.toFixed(1)} ms (worst ${worst.toFixed(0)}); ${(memory as number).toFixed(0)} MB`,
    );
    await page.close();
    server.process.kill('SIGINT');

    const other = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await other.addInitScript(`window.treeData = ${JSON.stringify(text)}`);
    const begun = Date.now();
    await other.goto(`${vite.resolvedUrls?.local[0]}d3page.html`);
    await other.evaluate('window.ready');
    const d3open = Date.now() - begun;
    const [d3median] = await frames(other, 'window.zoom(0.05 + 0.002 * (i % 30));');
    console.log(
      `  an element per node: opens in ${d3open} ms (${(d3open / open).toFixed(1)} x), a frame takes ${d3median.toFixed(1)} ms (${(d3median / median).toFixed(1)} x)`,
    );
    await other.close();
  }
  await vite.close();
  await browser.close();
}, 300_000);
