// Live runs of the default model.

import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browse, openPage, type Server, serious, serve } from './browser';

let browser: Browser;
let server: Server;
let page: Page;
let errors: string[];

const tab = (name: string) => page.getByRole('tab', { name }).click();
const pathText = async () => (await page.locator('.text-flow').innerText()).replace(/\s+/g, ' ');
const massLine = async () => (await page.locator('.strip-mass').textContent()) ?? '';
const nodes = async () => Number((await massLine()).match(/([\d,]+) nodes?/)?.[1]?.replace(',', ''));
/** Fills the form of a new run and starts it. */
async function grow(prompt: string, depth: number, most = 2000): Promise<void> {
  await page.getByRole('button', { name: 'New run' }).click();
  await page.getByRole('textbox', { name: 'Prompt' }).fill(prompt);
  const more = page.getByLabel('Depth in tokens');
  if (!(await more.isVisible())) await page.getByText('How far, and which way').click();
  await more.fill(String(depth));
  await page.getByLabel('Stop after so many nodes').fill(String(most));
  await page.getByRole('button', { name: 'Grow', exact: true }).click();
}
const until = async (what: () => Promise<boolean>, ms = 20_000) => {
  const start = Date.now();
  while (!(await what())) {
    if (Date.now() - start > ms) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
};
const finished = () => page.getByRole('status').filter({ hasText: 'finished' }).waitFor();

beforeAll(async () => {
  browser = await browse();
  server = await serve(['serve']);
  ({ page, errors } = await openPage(browser, server.link));
});
afterAll(async () => {
  await browser?.close();
  server?.process.kill('SIGINT');
});

describe('a live run', () => {
  test('starts from the form, which shows the exact tokens first', async () => {
    expect(page.url()).not.toContain('token=');
    // The first screen is the form, with the cursor in it.
    await until(() => page.evaluate(() => document.activeElement?.getAttribute('aria-label') === 'Prompt'));
    await page.keyboard.type('The capital of India is');
    await page.locator('.tokens .special', { hasText: '<bos>' }).waitFor();
    await until(async () => (await page.locator('.tokens .token').count()) === 6);
    await page.getByText('How far, and which way').click();
    await page.getByLabel('Depth in tokens').fill('12');
    await page.getByRole('textbox', { name: 'Prompt' }).focus();
    await page.keyboard.press('Control+Enter');
    await finished();
    expect(await pathText()).toContain('The capital of India is the capital of the state of Uttar Pradesh');
    expect(await massLine()).toMatch(/finished .* still open .* not followed/);
  });

  test('a click on an unlikely alternative: the model goes on from it, and undo brings the old path back', async () => {
    const before = await pathText();
    const size = await nodes();
    await page.locator('.tok').first().click();
    const options = page.getByRole('option');
    expect(await options.count()).toBeGreaterThanOrEqual(10);
    expect(await page.locator('.alternatives .other').innerText()).toMatch(/other [\d.]+ %/);
    await options.filter({ hasText: 'Mumbai' }).click();
    await until(async () => (await pathText()).includes('is Mumbai'));
    await until(async () => (await nodes()) > size + 5);
    await page.getByRole('button', { name: 'Undo' }).click();
    expect(await pathText()).toBe(before);
    await page.getByRole('button', { name: 'Redo' }).click();
    expect(await pathText()).toContain('is Mumbai');
    await page.getByRole('button', { name: 'Back to most likely' }).click();
    expect(await pathText()).toBe(before);
  });

  test('an idle click shows its token, and how long that takes', async () => {
    const times: number[] = [];
    for (const word of ['Delhi', 'known', 'located']) {
      await page.locator('.tok').first().click();
      const option = page.getByRole('option').filter({ hasText: word });
      await option.waitFor();
      times.push(
        await page.evaluate(async (w) => {
          const o = [...document.querySelectorAll<HTMLElement>('[role="option"]')].find((e) =>
            e.textContent?.includes(w),
          );
          const start = performance.now();
          o?.click();
          while (!document.querySelector('.text-flow')?.textContent?.includes(`is ${w}`))
            await new Promise(requestAnimationFrame);
          return performance.now() - start;
        }, word),
      );
      await new Promise((done) => setTimeout(done, 1500));
    }
    expect(await pathText()).toContain('is located');
    console.log(`click to first token: ${times.map((t) => t.toFixed(0)).join(', ')} ms`);
  });

  test('the keyboard reaches tokens and their alternatives', async () => {
    await page.getByRole('button', { name: 'Back to most likely' }).click();
    await page.locator('.tok').first().focus();
    await page.keyboard.press('ArrowRight');
    await until(async () => (await page.locator('.tok.selected').innerText()).includes('capital'));
    await page.keyboard.press('Enter');
    const focused = (what: string) => page.evaluate((w) => document.activeElement?.getAttribute(w) ?? '', what);
    await until(async () => (await focused('role')) === 'option');
    await page.keyboard.press('ArrowDown');
    expect(await focused('role')).toBe('option');
    await page.keyboard.press('Escape');
    await until(async () => (await focused('class')).includes('tok'));
    // A choice leaves the focus where it can go on: at the token that was chosen.
    await page.keyboard.press('Enter');
    await until(async () => (await focused('role')) === 'option');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await until(async () => (await focused('class')).includes('tok'));
    await page.keyboard.press('Control+z');
  });

  test('the inspector searches the whole vocabulary and re-weights as a sampler would', async () => {
    await page.getByRole('searchbox', { name: 'Find a token' }).fill('quokka');
    await until(
      async () =>
        (await page.locator('.inspector .step').count()) > 0 ||
        (await page.locator('.inspector .rows .other', { hasText: 'No single token' }).count()) > 0,
    );
    expect(await page.locator('.inspector .rows').innerText()).not.toContain('only these were searched');
    // What a remote engine answers.
    const few = { tokens: [], total: 0, entropy: 1, varentropy: 1, exactness: 'lower_bound' };
    await page.route('**/distribution?*', (route) => route.fulfill({ json: few }));
    await page.getByRole('searchbox', { name: 'Find a token' }).fill('numbat');
    await page.getByText('only these were searched').waitFor();
    await page.unroute('**/distribution?*');
    await page.getByRole('searchbox', { name: 'Find a token' }).fill('');
    await page.getByLabel('Top-k').fill('1');
    await until(async () => (await page.locator('.inspector .step.cut').count()) > 3);
    expect(await page.locator('.inspector .step').first().innerText()).toContain('100 %');
    await page.getByRole('button', { name: 'Reset', exact: true }).click();
    expect(await page.locator('.inspector .step.cut').count()).toBe(0);
  });

  test('a sampler re-weights text, outline, tree and paths, and reset brings the numbers back', async () => {
    // What was chosen before may still be going on.
    await finished();
    await tab('Outline');
    await page.getByRole('button', { name: 'Back to most likely' }).click();
    const numbers = async () => ({
      text: await page.locator('.tok').first().getAttribute('aria-label'),
      totals: await page.locator('.text-view .totals').innerText(),
      outline: await page.locator('.outline .line .num').allInnerTexts(),
      mass: await massLine(),
    });
    const before = await numbers();
    await page.getByLabel('Temperature').fill('0.5');
    await page.locator('.sampled', { hasText: 'As sampled with temperature 0.5' }).waitFor();
    await until(async () => (await page.locator('.outline .num').allInnerTexts()).some((t) => t.startsWith('≈')));
    const cold = await numbers();
    for (const key of ['text', 'totals', 'outline', 'mass'] as const) expect(cold[key]).not.toEqual(before[key]);
    expect(cold.text).toContain('≈ ');

    await page.getByLabel('Top-k').fill('1');
    await page.locator('.sampled', { hasText: /\d+ tokens? of the tree cut/ }).waitFor();
    await until(async () => (await page.locator('.outline .line.cut').count()) > 0);
    expect(await page.locator('.outline .line.cut').first().innerText()).toContain('cut');
    await page.locator('.tok').first().click();
    expect(await page.locator('.alternatives .cut').count()).toBeGreaterThan(5);
    await tab('Tree');
    await until(async () => ((await page.evaluate('__tree.dump()')) as string).includes('✗'));
    await tab('Ribbon');
    expect(await page.evaluate('__ribbon.dump()')).toContain('✗');
    await tab('Paths');
    expect(await page.locator('.paths .line.cut').count()).toBeGreaterThan(0);

    expect(page.url()).toContain('temperature=0.5&top_k=1');
    await page.reload();
    await page.locator('.sampled', { hasText: 'temperature 0.5, top-k 1' }).waitFor();
    await page.getByRole('button', { name: 'Reset the sampler' }).click();
    await tab('Outline');
    await until(async () => JSON.stringify(await numbers()) === JSON.stringify(before));
    expect(page.url()).not.toContain('temperature');
  });

  test('the outline is a grid that the keyboard walks', async () => {
    await tab('Outline');
    const grid = page.getByRole('treegrid');
    await grid.focus();
    await page.keyboard.press('Home');
    await until(async () => (await grid.locator('[aria-selected="true"]').innerText()).includes('The capital'));
    await page.keyboard.press('ArrowDown');
    await until(async () => (await grid.locator('[aria-selected="true"]').innerText()).includes('the'));
    const rows = Number(await grid.getAttribute('aria-rowcount'));
    await page.keyboard.press('ArrowLeft');
    expect(Number(await grid.getAttribute('aria-rowcount'))).toBeLessThan(rows);
    await page.keyboard.press('ArrowRight');
    expect(Number(await grid.getAttribute('aria-rowcount'))).toBe(rows);
    expect(await grid.innerText()).toContain('depth limit');
    expect(await grid.innerText()).toContain('other');
  });

  test('tree, ribbon and curves draw the run', async () => {
    await tab('Tree');
    await until(async () => ((await page.evaluate('__tree.count()')) as number) > 10);
    expect(await page.evaluate('__tree.dump()')).toContain('Mumbai');
    await tab('Ribbon');
    await until(async () => ((await page.evaluate('__ribbon.count()')) as number) > 10);
    await tab('Curves');
    expect(await page.locator('.view svg').count()).toBeGreaterThanOrEqual(3);
  });

  test('ribbon and tree leave out what is unlikely, and mark and go to what is searched for', async () => {
    await tab('Ribbon');
    const count = () => page.evaluate('__ribbon.count()') as Promise<number>;
    const all = await count();
    await page.getByRole('button', { name: 'Leave out' }).click();
    await page.getByRole('slider', { name: 'Probability' }).fill('80');
    await until(async () => (await count()) < all);
    const fewer = await count();
    expect(await page.locator('.ribbon-count').textContent()).toBe(
      `${fewer} box${fewer === 1 ? '' : 'es'}, ${all - fewer} hidden`,
    );
    expect(await page.evaluate('__ribbon.dump()')).toContain('hidden');
    await page.getByRole('slider', { name: 'Probability' }).fill('0');
    await until(async () => (await count()) === all);
    await page.keyboard.press('Escape');

    await page.locator('.view canvas').first().focus();
    await page.keyboard.press('/');
    await page.keyboard.type('Mumbai');
    await page.locator('.canvas-hits', { hasText: /^\d+ hits?$/ }).waitFor();
    await page.keyboard.press('Enter');
    await page.locator('.canvas-hits', { hasText: /^1 of / }).waitFor();
    expect(await pathText()).toContain('Mumbai');
    await tab('Tree');
    expect(await page.getByRole('searchbox', { name: 'Search the run' }).inputValue()).toBe('Mumbai');
    await page.locator('.canvas-hits', { hasText: /^\d+ hits?$/ }).waitFor();
    await page.getByRole('searchbox', { name: 'Search the run' }).fill('');
  });

  test('"continue from here" grows the tree from the selected node', async () => {
    await tab('Tree');
    const before = await nodes();
    await page.getByRole('button', { name: 'Continue from here' }).click();
    await until(async () => (await nodes()) > before + 5);
  });

  test('paths are grouped by a pattern, with bounds; a bad pattern is told', async () => {
    await tab('Paths');
    await page.getByRole('searchbox', { name: /Pattern/ }).fill('(Mumbai|Delhi)');
    await until(async () => (await page.locator('.paths .line').count()) > 0);
    await page.getByRole('searchbox', { name: /Pattern/ }).fill('(');
    await page.locator('.view-bar .bad').waitFor();
    await page.getByRole('searchbox', { name: /Pattern/ }).fill('');
    await page.locator('.paths .line').first().click();
  });

  test('colours follow the metric, and the address keeps the view', async () => {
    const first = () =>
      page
        .locator('.tok')
        .first()
        .evaluate((e) => getComputedStyle(e).backgroundColor);
    const surprisal = await first();
    await page.getByRole('combobox', { name: 'Colour' }).selectOption('entropy');
    expect(await first()).not.toBe(surprisal);
    expect(page.url()).toContain('view=paths');
    expect(page.url()).toContain('colour=entropy');
    await page.reload();
    await page.locator('.tok').first().waitFor();
    expect(await page.getByRole('combobox', { name: 'Colour' }).inputValue()).toBe('entropy');
  });

  test('runs are renamed, duplicated, exported and deleted', async () => {
    await page.getByRole('button', { name: 'Runs', exact: true }).click();
    const more = () => page.getByRole('button', { name: /More about/ }).first();
    await more().click();
    await page.getByRole('menuitem', { name: 'Rename' }).click();
    // The box has the focus, with the old name in it.
    await until(async () => (await page.evaluate(() => document.activeElement?.getAttribute('name'))) === 'name');
    await page.getByRole('textbox', { name: 'New name' }).fill('India <b>bold</b>');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: /^India <b>bold/ }).waitFor();
    await page.getByRole('button', { name: 'Share' }).click();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('menuitem', { name: 'CSV' }).click(),
    ]);
    expect(readFileSync((await download.path()) ?? '', 'utf8')).toContain('logprob');
    await more().click();
    await page.getByRole('menuitem', { name: 'Duplicate' }).click();
    await page
      .getByRole('button', { name: /\(copy\)/ })
      .first()
      .waitFor();
    await page.getByRole('button', { name: /More about .*copy/ }).click();
    await page.getByRole('menuitem', { name: 'Delete' }).click();
    await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click();
    await until(async () => (await page.getByRole('button', { name: /\(copy\)/ }).count()) === 0);
  });

  test('two pages see the same run grow, and pause and resume work', async () => {
    const other = await openPage(browser, server.link);
    await grow('Once upon a time', 1000, 50000);
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    await until(async () => (await nodes()) > 40);
    await other.page.locator('.gallery').getByRole('link', { name: 'Once upon a time' }).first().click();
    const theirs = async () => (await other.page.locator('.strip-mass').textContent()) ?? '';
    await until(async () => (await theirs()).includes('nodes'));
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('status').filter({ hasText: 'paused' }).waitFor();
    await until(async () => (await theirs()) === (await massLine()));
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByRole('status').filter({ hasText: 'nodes/s' }).waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('status').filter({ hasText: 'stopped' }).waitFor();
    expect(other.errors).toEqual([]);
    await other.page.close();
  });

  test('axe finds nothing serious in any view', async () => {
    for (const v of ['Outline', 'Tree', 'Ribbon', 'Curves', 'Paths', 'Answers', 'Compare']) {
      await tab(v);
      await page.waitForTimeout(300);
      expect(await serious(page)).toEqual([]);
    }
    await page.getByLabel('Temperature').fill('0.5');
    await page.getByLabel('Top-k').fill('2');
    for (const v of ['Outline', 'Paths']) {
      await tab(v);
      await page.waitForTimeout(300);
      expect(await serious(page)).toEqual([]);
    }
    await page.getByRole('button', { name: 'Reset the sampler' }).click();
    for (const theme of ['light', 'dark']) {
      await page.getByRole('button', { name: 'Colours of the page' }).click();
      expect(await serious(page)).toEqual([]);
      await page.getByRole('menuitemradio', { name: theme }).click();
      await page.locator('.tok').first().hover();
      await page.locator('.hover-card').waitFor();
      expect(await serious(page)).toEqual([]);
      await page.keyboard.press('?');
      await page.getByRole('dialog', { name: 'Keys' }).waitFor();
      expect(await serious(page)).toEqual([]);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'New run' }).click();
      expect(await serious(page)).toEqual([]);
      await page.goBack();
      await page.locator('.tok').first().waitFor();
    }
  });

  test('a server that dies is told; what came stays; the page reconnects to the next', async () => {
    const size = await nodes();
    server.process.kill('SIGKILL');
    await page.getByRole('alert').filter({ hasText: 'does not answer' }).waitFor();
    expect(await nodes()).toBe(size);
    const port = new URL(server.link).port;
    server = await serve(['serve', '--port', port], server.data);
    await until(async () => (await page.getByRole('alert').count()) === 0);
    expect(await nodes()).toBe(size);
  });

  test('nothing went wrong on the page, and it asked no other server for anything', () => {
    expect(errors).toEqual([]);
  });
});
