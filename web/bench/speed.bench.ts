// How fast the tree opens, moves and grows, and what memory it takes, beside a page with one SVG element per node: npm run bench.
// LOGITREE_SEED_DIR/trees/sort_algorithm_tree.json is the sample of 8,979 nodes.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { createServer } from 'vite';
import { browse, serve } from '../e2e/browser';
import { standIn } from './standin';

/** A bushy tree as the notebook writes it. */
function synthetic(nodes: number): [nodes: string, text: string] {
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
  return [(made - 1).toLocaleString('en'), JSON.stringify({ metadata: { prompt: 'P', parameters: {} }, tree: root })];
}

/** Median and worst milliseconds between frames, in each of which the picture is zoomed. */
const frames = (page: Page): Promise<[number, number]> =>
  page.evaluate(async () => {
    const canvas = document.querySelector('.view canvas');
    const at = canvas?.getBoundingClientRect();
    const zoom = (i: number) => {
      if (!canvas || !at) return void window.zoom(0.05 + 0.002 * (i % 30));
      const [clientX, clientY, deltaY] = [at.left + 300, at.top + 150, i % 30 < 15 ? -40 : 40];
      canvas.dispatchEvent(new WheelEvent('wheel', { bubbles: true, cancelable: true, clientX, clientY, deltaY }));
    };
    const times: number[] = [];
    let last = 0;
    for (let i = 0; i < 90; i++) {
      zoom(i);
      const now = await new Promise<number>(requestAnimationFrame);
      if (i > 5) times.push(now - last);
      last = now;
    }
    times.sort((a, b) => a - b);
    return [times[Math.floor(times.length / 2)] ?? 0, times.at(-1) ?? 0] as [number, number];
  });

/** Until all nodes have come and the tree is drawn. The page's policy forbids the browser's own way of waiting for an expression. */
async function drawn(page: Page, nodes: string): Promise<void> {
  const done = () =>
    page.evaluate((n) => {
      const all = document.querySelector('.strip-mass')?.textContent?.includes(`${n} nodes`);
      return all && (globalThis as { __tree?: { drawMs(): number } }).__tree !== undefined;
    }, nodes);
  while (!(await done().catch(() => false))) await new Promise((next) => setTimeout(next, 5));
  // Layouts follow a growing run at their own pace.
  await page.evaluate(() => new Promise((next) => setTimeout(() => requestAnimationFrame(next), 100)));
}

/** Megabytes of the page's JavaScript heap, and of memory that the largest renderer has for itself (on Linux). */
async function memory(browser: Browser, page: Page): Promise<{ heap: number; renderer: number }> {
  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage');
  await session.send('Performance.enable');
  const { metrics } = await session.send('Performance.getMetrics');
  const heap = metrics.find((m) => m.name === 'JSHeapUsedSize')?.value ?? Number.NaN;
  const { processInfo } = await (await browser.newBrowserCDPSession()).send('SystemInfo.getProcessInfo');
  const own = processInfo.filter((p) => p.type === 'renderer').map((p) => privateMemory(p.id));
  return { heap: heap / 1e6, renderer: Math.max(...own) / 1e6 };
}

/** Bytes of a process that it shares with no other; NaN where there is no /proc. */
function privateMemory(pid: number): number {
  try {
    const lines = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').matchAll(/^Private_\w+:\s+(\d+) kB/gm);
    return [...lines].reduce((sum, [, kb]) => sum + 1024 * Number(kb), 0);
  } catch {
    return Number.NaN;
  }
}

test('opening and moving', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'logitree-bench-'));
  const files: [string, string][] = [synthetic(50_000)];
  const seed = process.env.LOGITREE_SEED_DIR;
  if (seed) files.unshift(['8,979', readFileSync(resolve(seed, 'trees/sort_algorithm_tree.json'), 'utf8')]);
  else console.log('LOGITREE_SEED_DIR is not set: only the synthetic tree');
  const browser = await browse();
  const vite = await createServer({ root: import.meta.dirname, logLevel: 'error' });
  await vite.listen();
  for (const [nodes, text] of files) {
    const path = join(folder, 'bench_tree.json');
    writeFileSync(path, text);
    const server = await serve(['view', path, '--port', '7960']);
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await page.goto(server.link);
    await page.getByRole('tab', { name: 'Tree' }).click();
    await drawn(page, nodes);
    const start = Date.now();
    await page.reload();
    await drawn(page, nodes);
    const open = Date.now() - start;
    const [median, worst] = await frames(page);
    console.log(
      `${nodes} nodes: opens in ${open} ms; a frame takes ${median.toFixed(1)} ms (worst ${worst.toFixed(0)})`,
    );
    const { heap, renderer } = await memory(browser, page);
    console.log(`  memory: ${heap.toFixed(0)} MB of JavaScript, ${renderer.toFixed(0)} MB of the whole page's process`);
    expect(heap).toBeLessThan(300);
    if (!Number.isNaN(renderer)) expect(renderer).toBeLessThan(300);
    await page.close();
    server.process.kill('SIGINT');
    // The other page takes minutes for 50,000 nodes.
    if (nodes !== '8,979') continue;

    const other = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await other.addInitScript(`window.treeData = ${JSON.stringify(text)}`);
    const begun = Date.now();
    await other.goto(`${vite.resolvedUrls?.local[0]}d3page.html`);
    await other.evaluate('window.ready');
    const d3open = Date.now() - begun;
    const [d3median] = await frames(other);
    console.log(
      `  an element per node: opens in ${d3open} ms (${(d3open / open).toFixed(1)} x), a frame takes ${d3median.toFixed(1)} ms (${(d3median / median).toFixed(1)} x)`,
    );
    await other.close();
  }
  await vite.close();
  await browser.close();
}, 300_000);

const RATE = 1000;
const SECONDS = 10;

test('growing', async () => {
  const browser = await browse();
  const server = await standIn(RATE, RATE * SECONDS);
  for (const view of ['Outline', 'Tree', 'Ribbon']) {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await page.goto(server.address);
    await page.getByRole('tab', { name: view }).click();
    const { frames, worst, nodes } = await page.evaluate(async (seconds) => {
      const frames: number[] = [];
      const begin = performance.now();
      let [worst, last] = [0, begin];
      while (last - begin < 1000 * seconds) {
        const now = await new Promise<number>(requestAnimationFrame);
        worst = Math.max(worst, now - last);
        const second = Math.floor((now - begin) / 1000);
        frames[second] = (frames[second] ?? 0) + 1;
        last = now;
      }
      return { frames, worst, nodes: document.querySelector('.strip-mass')?.textContent?.match(/[\d,]+ nodes/)?.[0] };
    }, SECONDS - 1);
    const least = Math.min(...frames.slice(0, SECONDS - 1));
    console.log(
      `${view}, growing by ${RATE} nodes a second to ${nodes}: ${least} to ${Math.max(...frames)} frames a second (worst frame ${worst.toFixed(0)} ms)`,
    );
    expect(least).toBeGreaterThanOrEqual(30);
    await page.close();
  }
  server.close();
  await browser.close();
}, 120_000);
