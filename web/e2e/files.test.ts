// Files that are dropped or opened, good and bad, and the one-file report.

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HEADER } from '../tests/empty-run';
import { browse, openPage, program, serious, type Server, serve } from './browser';

const seed = process.env.LOGITREE_SEED_DIR;
const folder = mkdtempSync(join(tmpdir(), 'logitree-files-'));
const write = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

/** Text that would run if anything took it for markup. */
const EVIL = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';
const token = (t: string) => ({ token: t, logprob: -0.9, prob: 40.7 });
const records = `${JSON.stringify({ prompt: EVIL, response: EVIL, data: [{ ...token(EVIL), other_tokens: [token(EVIL), token('\n')] }] })}\nnot json\n`;
const tree = (depth: number, text: string) => {
  const open = `{"text":${JSON.stringify(text)},"token_id":5,"prob":0.9,"candidates":[{"text":"a","token_id":5,"prob":0.9}],"children":[`;
  const parameters = JSON.stringify({ note: EVIL, max_depth: depth });
  return `{"metadata":{"prompt":${JSON.stringify(EVIL)},"parameters":${parameters}},"tree":${open.repeat(depth)}${']}'.repeat(depth)}}`;
};

let browser: Browser;
let server: Server;
let page: Page;
let errors: string[];
const choose = (...paths: string[]) => page.locator('input[type="file"]').setInputFiles(paths);
/** Shows the list of runs, where a file is once the server has it. */
async function listed(name: string): Promise<void> {
  const runs = page.getByRole('button', { name: 'Runs', exact: true });
  if ((await runs.getAttribute('aria-expanded')) === 'false') await runs.click();
  await page.locator('.side .name').filter({ hasText: name }).first().waitFor();
}

beforeAll(async () => {
  browser = await browse();
  server = await serve(['view', write('evil.jsonl', records)]);
  ({ page, errors } = await openPage(browser, server.link));
});
afterAll(async () => {
  await browser?.close();
  server?.process.kill('SIGINT');
});

describe('files', () => {
  test('records show, a bad line among them is told, and no text becomes markup', async () => {
    await page.getByText('not json').first().waitFor();
    expect(await page.title()).not.toBe('owned');
    expect(await page.locator('img').count()).toBe(0);
  });

  test('responses are compared in a table that sorts and leads to them', async () => {
    const lines = Array.from({ length: 40 }, (_, i) => {
      const data = Array.from({ length: (i % 7) + 1 }, () => ({ token: ' a', logprob: -i / 10, prob: 50 }));
      return JSON.stringify({ prompt: `prompt ${i + 1}`, response: 'a', data });
    });
    await choose(write('forty.jsonl', lines.join('\n')));
    const table = page.getByRole('table', { name: 'Comparison of the responses' });
    await table.waitFor();
    const first = () => table.getByRole('row').nth(1).innerText();
    expect(await first()).toContain('prompt 1');
    await table.getByRole('button', { name: 'Perplexity' }).click();
    expect(await first()).toMatch(/Line 40[\s\S]*49\.40[\s\S]*prompt 40/);
    await table.getByRole('button', { name: 'Line 40' }).click();
    await page.getByText('Page 2 of 2').waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.querySelector('h3')?.textContent);
    for (let i = 0; i < 100 && (await focused()) !== 'Line 40'; i++) await page.waitForTimeout(50);
    expect(await focused()).toBe('Line 40');
    expect(await serious(page)).toEqual([]);
  });

  test('bad files are told one by one and do not disturb the rest', async () => {
    await choose(
      write('empty.json', ''),
      write('diary.txt', 'dear diary'),
      write('cut.json', tree(5, 'x').slice(0, 200)),
      write('schema.json', '{"metadata":{},"tree":{"text":"a"}}'),
      write('good_tree.json', tree(6, EVIL)),
    );
    for (const name of ['empty.json', 'diary.txt', 'cut.json', 'schema.json']) {
      await page.getByRole('alert').filter({ hasText: name }).waitFor();
    }
    await listed('good_tree.json');
    expect(await page.title()).not.toBe('owned');
    await page.locator('.tok').first().waitFor();
    await page.getByRole('button', { name: 'About', exact: true }).click();
    expect(await page.locator('.about dl').textContent()).toContain('<script>');
    await page.keyboard.press('Escape');
    const dismiss = page.getByRole('button', { name: 'Dismiss' });
    while ((await dismiss.count()) > 0) await dismiss.first().click();
  });

  test('a tree of 20,000 levels opens in every view with few elements', async () => {
    await choose(write('deep_tree.json', tree(20_000, ' la')));
    // The outermost level is the prompt.
    await page.locator('.totals').filter({ hasText: '19,999 tokens' }).waitFor();
    for (const name of ['Outline', 'Tree', 'Ribbon', 'Curves', 'Paths', 'Answers', 'Compare']) {
      await page.getByRole('tab', { name }).click();
      await page.waitForTimeout(400);
      expect(await page.evaluate(() => document.querySelectorAll('*').length)).toBeLessThan(2000);
    }
  });

  test('a pattern that never ends is given up, and the page goes on', async () => {
    const leaf = (text: string, prob: number) => ({ text, token_id: text.length, prob, candidates: [], children: [] });
    const paths = { ...leaf('P', 1), children: [leaf('b', 0.4), leaf(`${'a'.repeat(60)}!`, 0.3), leaf('ab', 0.2)] };
    await choose(write('a_tree.json', JSON.stringify({ metadata: { prompt: 'P', parameters: {} }, tree: paths })));
    await page.getByRole('tab', { name: 'Paths' }).click();
    const pattern = page.getByRole('searchbox', { name: /Pattern/ });
    const status = page.locator('.view-bar [role="status"]');
    const longest = page.evaluate(async () => {
      let [most, last] = [0, performance.now()];
      while (!document.querySelector('.view-bar .bad')) {
        const now = await new Promise<number>(requestAnimationFrame);
        [most, last] = [Math.max(most, now - last), now];
      }
      return most;
    });
    await pattern.fill('(a+)+$');
    await status.filter({ hasText: 'too long on path 2, “aaaaa' }).waitFor();
    // The pattern would take days.
    expect(await longest).toBeLessThan(2000);
    expect(await page.locator('.paths .line').count()).toBe(0);
    await pattern.fill('a+b');
    await status.filter({ hasText: /^1 path$/ }).waitFor();
    await pattern.fill('');
    await status.filter({ hasText: /^3 paths$/ }).waitFor();
  });

  test('the gallery has a card for each run, with links to its views', async () => {
    const take = (name: string, text: string) =>
      page.evaluate(
        async ([n, body]) => {
          const made = await fetch(`/api/v1/import?name=${encodeURIComponent(n!)}`, { method: 'POST', body: body! });
          return ((await made.json()) as { id: string }).id;
        },
        [name, text],
      );
    const id = await take('six levels', tree(6, ' six'));
    await take('nine levels', tree(9, ' nine'));
    await page.getByRole('link', { name: 'logitree', exact: true }).click();
    const card = (name: string) => page.locator('.gallery li').filter({ hasText: name });
    await card('six levels').waitFor();
    expect(await serious(page)).toEqual([]);
    expect(await card('six levels').innerText()).toMatch(/6 nodes · \d+ finished paths?/);
    expect(await card('six levels').getByRole('link').allInnerTexts()).toEqual([
      'six levels',
      'Text',
      'Tree',
      'Ribbon',
    ]);
    await card('six levels').getByRole('link', { name: 'Tree' }).click();
    await page.locator('.strip-mass').filter({ hasText: '6 nodes' }).waitFor();
    expect(await page.getByRole('tab', { name: 'Tree' }).getAttribute('aria-selected')).toBe('true');
    expect(page.url()).toContain(`run=${id}&view=tree`);
    await page.goBack();
    await card('nine levels').getByRole('link', { name: 'Text' }).click();
    await page.locator('.text-flow').filter({ hasText: 'nine nine' }).waitFor();
    expect(await page.getByRole('tab', { name: 'Outline' }).getAttribute('aria-selected')).toBe('true');
  });

  test('?file= opens a file of the same server, and no other', async () => {
    const { origin } = new URL(server.link);
    const id = await page.evaluate(async () => {
      const runs = (await (await fetch('/api/v1/runs')).json()) as { id: string; name: string }[];
      return runs.find((r) => r.name === 'nine levels')!.id;
    });
    await page.goto(`${origin}/?file=/api/v1/runs/${id}/export/tree-json#view=tree`);
    await page.locator('.strip-mass').filter({ hasText: '9 nodes' }).waitFor();
    await listed(`/api/v1/runs/${id}/export/tree-json`);
    expect(await page.getByRole('tab', { name: 'Tree' }).getAttribute('aria-selected')).toBe('true');
    for (const [bad, reason] of [
      ['https://logitree.invalid/tree.json', 'only files of'],
      ['//logitree.invalid/tree.json', 'only files of'],
      ['javascript:document.title="owned"', 'only files of'],
      ['data:application/json,{}', 'only files of'],
      ['http://', 'only files of'],
      [EVIL, 'the server answers 404'],
    ] as const) {
      await page.goto(`${origin}/?file=${encodeURIComponent(bad)}`);
      await page.getByRole('alert').filter({ hasText: reason }).filter({ hasText: bad }).waitFor();
      expect(await page.title()).toMatch(/logitree$/);
      expect(await page.locator('img').count()).toBe(0);
    }
    await page.goto(origin);
    // A server without a model shows its newest file at once.
    await page.locator('.tok').first().waitFor();
  });

  test('a run file of 200 MB opens while the page stays alive; a tree of that size is refused politely', async () => {
    const listed = 170;
    const header = { ...HEADER, model: { ...HEADER.model, vocab: listed } };
    const path = write('large.run.jsonl', `${JSON.stringify(header)}\n`);
    const top = Array.from({ length: listed }, (_, i) => ({
      id: i,
      text: `token ${i}`.padEnd(26),
      logprob: -2 - i / 10,
    }));
    const rest = `"queue":1,"entropy":1,"varentropy":1,"children":2,"top":${JSON.stringify(top)}}\n`;
    const file = openSync(path, 'a');
    for (let n = 0; n < 20_000; n++) {
      const child = (k: number) =>
        `{"type":"node","node":${2 * n + k},"parent":${n},"id":${k},"text":" w${k}","logprob":-0.7}\n`;
      writeSync(file, `{"type":"expand","node":${n},${rest}${child(1)}${child(2)}`);
    }
    closeSync(file);
    const size = statSync(path).size;
    expect(size).toBeGreaterThan(200e6);
    expect(size).toBeLessThan(250e6);
    const watched = page.evaluate(async () => {
      const seen = new Set<number>();
      let [most, last] = [0, performance.now()];
      while (!document.querySelector('.strip-mass')?.textContent?.includes('40,001 nodes')) {
        const part = document.querySelector<HTMLProgressElement>('.reading progress')?.value;
        if (part !== undefined) seen.add(part);
        const now = await new Promise<number>(requestAnimationFrame);
        [most, last] = [Math.max(most, now - last), now];
      }
      return { seen: seen.size, most };
    });
    await choose(path);
    const { seen, most } = await watched;
    console.log(`200 MB: ${seen} steps of the bar were seen, the longest pause was ${most.toFixed(0)} ms`);
    expect(seen).toBeGreaterThan(10);
    expect(most).toBeLessThan(3000);
    expect(await page.locator('.reading').count()).toBe(0);
    rmSync(path);

    const other = write('large_tree.json', tree(2, 'x').slice(0, 100));
    truncateSync(other, 200e6);
    await choose(other);
    const refused = page.getByRole('alert').filter({ hasText: 'large_tree.json' });
    await refused.filter({ hasText: 'has 200 MB; the limit is 100 MB for trees and records' }).waitFor();
    truncateSync(other, 501e6);
    await choose(other);
    await refused.filter({ hasText: 'has 501 MB; the limit is 500 MB' }).waitFor();
    rmSync(other);
    await page.getByRole('button', { name: 'Close large.run.jsonl' }).click();
  });

  test.skipIf(!seed)('the published samples open (needs LOGITREE_SEED_DIR)', async () => {
    for (const [name, nodes] of [
      ['india_capital_tree.json', 174],
      ['sort_algorithm_tree.json', 8979],
    ] as const) {
      await choose(resolve(seed ?? '', 'trees', name));
      await page
        .locator('.strip-mass')
        .filter({ hasText: nodes.toLocaleString('en') })
        .waitFor();
    }
    await choose(resolve(seed ?? '', 'logprobs.jsonl'));
    await listed('logprobs.jsonl');
  });

  test('the report is one file that works from disk, offline', async () => {
    const out = join(folder, 'report.html');
    execFileSync(program(), ['report', write('r_tree.json', tree(8, EVIL)), '-o', out]);
    expect(existsSync(out)).toBe(true);
    const report = await openPage(browser, pathToFileURL(out).href);
    await report.page.locator('.tok').first().waitFor();
    await report.page.getByRole('tab', { name: 'Tree' }).click();
    expect(await report.page.title()).not.toBe('owned');
    await report.page.getByRole('tab', { name: 'Paths' }).click();
    await report.page.getByRole('searchbox', { name: /Pattern/ }).fill('img');
    await report.page
      .locator('.view-bar [role="status"]')
      .filter({ hasText: /^1 path$/ })
      .waitFor();
    expect(report.errors).toEqual([]);
  });

  test('the report of a run in which the user went on has all of its nodes', async () => {
    const out = join(folder, 'clicks.html');
    const run = resolve(import.meta.dirname, '../../fixtures/runs/report-with-clicks.run.jsonl');
    execFileSync(program(), ['report', run, '-o', out]);
    const report = await openPage(browser, pathToFileURL(out).href);
    await report.page.locator('.strip-mass').filter({ hasText: '6 nodes' }).waitFor();
    // What the user made is there to be read: the token put in, and what the model said after it.
    await report.page.getByRole('tab', { name: 'Paths' }).click();
    await report.page.getByText(' x the').first().waitFor();
    expect(report.errors).toEqual([]);
  });

  test('nothing went wrong on the page', () => {
    expect(errors).toEqual([]);
  });
});
