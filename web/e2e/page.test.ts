// The page around the views: first screen, layout, themes, keys, history, files that are kept, and what is new among the views.

import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browse, openPage, type Server, serious, serve } from './browser';

let browser: Browser;
let server: Server;
let page: Page;
let errors: string[];
const folder = mkdtempSync(join(tmpdir(), 'logitree-page-'));

const until = async (what: () => Promise<boolean>, ms = 20_000) => {
  const start = Date.now();
  while (!(await what())) {
    if (Date.now() - start > ms) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
};
/** Waits until the run that is shown has ended, nothing that was asked for by hand is being written, and the page has all of it. */
const settled = () =>
  until(async () =>
    page.evaluate(async () => {
      const id = new URLSearchParams(location.hash.slice(1)).get('run');
      const { status } = (await (await fetch(`/api/v1/runs/${id}`)).json()) as {
        status: { state: string; writing: number; nodes: number };
      };
      const shown = Number.parseInt(document.querySelector('.strip-mass')?.textContent?.replaceAll(',', '') ?? '', 10);
      return status.state === 'finished' && status.writing === 0 && shown === status.nodes;
    }),
  );
const tab = (name: string) => page.getByRole('tab', { name }).click();
const text = async () => (await page.locator('.text-flow').innerText()).replace(/\s+/g, ' ');
const choose = (path: string) => page.locator('input[type="file"]').setInputFiles(path);
/** Starts a run by the API and shows it. */
async function run(prompt: string, depth: number, nodes = 60): Promise<string> {
  const id = await page.evaluate(
    async ([text, max_depth, max_nodes]) => {
      const body = JSON.stringify({ prompt: text, parameters: { max_depth }, max_nodes });
      const headers = { 'content-type': 'application/json' };
      return ((await (await fetch('/api/v1/runs', { method: 'POST', headers, body })).json()) as { id: string }).id;
    },
    [prompt, depth, nodes] as const,
  );
  await page.evaluate((to) => {
    location.hash = `run=${to}&view=outline`;
  }, id);
  // The page may still show the run before, which has finished too.
  const state = (i: string) =>
    page.evaluate(
      async (i) => ((await (await fetch(`/api/v1/runs/${i}`)).json()) as { status: { state: string } }).status.state,
      i,
    );
  await until(async () => (await state(id)) === 'finished');
  await page.getByRole('status').filter({ hasText: 'finished' }).waitFor();
  await page.locator('.tok').first().waitFor();
  return id;
}

beforeAll(async () => {
  browser = await browse();
  server = await serve(['serve', '--port', '7980']);
  ({ page, errors } = await openPage(browser, server.link));
});
afterAll(async () => {
  await browser?.close();
  server?.process.kill('SIGINT');
});

describe('the first screen', () => {
  test('the form says at a field what is wrong with it, and keeps what was typed', async () => {
    await page.getByRole('button', { name: 'A choice' }).click();
    expect(await page.getByRole('textbox', { name: 'Prompt' }).inputValue()).toContain('91 prime');
    await page.getByText('How far, and which way').click();
    await page.getByLabel('Depth in tokens').fill('2.5');
    await page.getByText('a whole number is needed').waitFor();
    await page.getByLabel('Threshold while few paths are open').fill('0.9');
    await page.getByText('not below the threshold while few').waitFor();
    expect(await serious(page)).toEqual([]);
    await page.reload();
    expect(await page.getByRole('textbox', { name: 'Prompt' }).inputValue()).toContain('91 prime');
    await page.getByText('How far, and which way').click();
    expect(await page.getByLabel('Depth in tokens').inputValue()).toBe('2.5');
    await page.getByLabel('Depth in tokens').fill('8');
    await page.getByLabel('Threshold while few paths are open').fill('0.1');
    // The rule is drawn with what its axes are.
    expect(await page.locator('.rule text').allTextContents()).toEqual(
      expect.arrayContaining(['open paths', 'threshold']),
    );
  });

  test('another model is chosen, and the runs of the first stay to be read', async () => {
    const old = await run('One two three', 3, 10);
    await page.getByRole('button', { name: 'New run' }).click();
    await page.getByRole('button', { name: 'with gemma-3-270m' }).click();
    expect(await serious(page)).toEqual([]);
    const menu = page.getByRole('menu', { name: /choose another model/ });
    expect(await menu.getByRole('menuitemradio', { checked: true }).innerText()).toContain('gemma-3-270m');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'with smollm2-135m' }).waitFor();
    await page.getByRole('textbox', { name: 'Prompt' }).fill('One two three');
    await page.getByLabel('As a conversation').waitFor();
    await run('One two three', 3, 10);
    // The run of the other model is read, and is not offered to go on.
    await page.evaluate((to) => {
      location.hash = `run=${to}&view=outline`;
    }, old);
    await page.getByRole('button', { name: 'Grow this with smollm2-135m' }).waitFor();
    await page.getByRole('button', { name: 'New run' }).click();
    await page.getByRole('button', { name: 'with smollm2-135m' }).click();
    await page.getByRole('menuitemradio', { name: /^gemma-3-270m/ }).click();
    await page.getByRole('button', { name: 'with gemma-3-270m' }).waitFor();
    expect(await page.evaluate(async () => (await fetch('/api/v1/models')).status)).toBe(200);
  });

  test('a sample opens, and is kept by the server', async () => {
    await page.getByRole('button', { name: 'Is the number 91 prime?' }).click();
    await page.locator('.tok').first().waitFor();
    await until(async () => page.url().includes('run='));
    await page.reload();
    await page.locator('.tok').first().waitFor();
    expect(await text()).toContain('91 prime');
  });
});

describe('the layout', () => {
  test.each([
    [1440, 900],
    [1280, 720],
  ])('the view has at least 55 % of a window of %d × %d', async (width, height) => {
    await page.setViewportSize({ width, height });
    for (const name of ['Tree', 'Ribbon', 'Outline', 'Paths']) {
      await tab(name);
      await page.waitForTimeout(150);
      const part = await page.evaluate(() => {
        const it = document.querySelector('.view canvas.canvas') ?? document.querySelector('.view');
        const r = it!.getBoundingClientRect();
        return (r.width * r.height) / (innerWidth * innerHeight);
      });
      expect(part).toBeGreaterThan(0.55);
      // What the view can do stands in one line with the tabs.
      expect((await page.locator('.view-bar').boundingBox())!.height).toBeLessThan(44);
    }
    await tab('Tree');
    await page.keyboard.press('m');
    await until(async () => (await page.locator('.text-pane').count()) === 0);
    const whole = await page.locator('.view canvas.canvas').boundingBox();
    expect(whole!.width).toBe(width);
    await page.keyboard.press('Escape');
    await page.locator('.text-pane').waitFor();
  });

  test('splitters move by mouse and keys, and stay where they were put', async () => {
    const line = page.getByRole('separator', { name: 'Height of the text' });
    const height = async () => (await page.locator('.text-pane').boundingBox())!.height;
    const before = await height();
    await line.focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await until(async () => (await height()) > before + 20);
    const set = await height();
    await page.reload();
    await page.locator('.tok').first().waitFor();
    expect(await height()).toBe(set);
    await line.dblclick();
    await until(async () => (await height()) !== set);
    await page.keyboard.press('i');
    await until(async () => (await page.locator('.step-pane').count()) === 0);
    await page.keyboard.press('i');
    await page.locator('.step-pane').waitFor();
  });

  test('on a phone the text has the width, and the alternatives come from below', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    await tab('Outline');
    const widest = await page
      .locator('.outline .line .what')
      .evaluateAll((all) => Math.max(...all.map((e) => e.getBoundingClientRect().width)));
    expect(widest).toBeGreaterThan(250);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    await page.locator('.tok').nth(1).click();
    await page.getByRole('dialog', { name: 'Step' }).waitFor();
    await page.waitForTimeout(200);
    expect(await serious(page)).toEqual([]);
    await page.keyboard.press('Escape');
    expect(await page.getByRole('dialog').count()).toBe(0);
    // The tabs are in reach of the thumb.
    expect((await page.getByRole('tab', { name: 'Tree' }).boundingBox())!.y).toBeGreaterThan(700);
    await page.getByRole('button', { name: 'New run' }).click();
    const grow = await page.getByRole('button', { name: 'Grow', exact: true }).boundingBox();
    expect(grow!.y + grow!.height).toBeLessThan(844);
    await page.goBack();
    await page.locator('.tok').first().waitFor();
    await page.setViewportSize({ width: 1440, height: 900 });
  });

  test('themes change the page, text and canvases, and are kept', async () => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const chosen: string[] = [];
    for (const name of ['light', 'dark']) {
      await page.getByRole('button', { name: 'Colours of the page' }).click();
      await page.getByRole('menuitemradio', { name }).click();
      chosen.push(await ground());
    }
    expect(chosen[0]).not.toBe(chosen[1]);
    await page.reload();
    await page.locator('.tok').first().waitFor();
    expect(await ground()).toBe(chosen[1]);
    await page.getByRole('button', { name: 'Mark tokens by a line' }).click();
    expect(
      await page
        .locator('.tok')
        .first()
        .evaluate((e) => getComputedStyle(e).boxShadow),
    ).toContain('inset');
    await page.getByRole('button', { name: 'Mark tokens by a line' }).click();
  });
});

describe('keys and history', () => {
  test('Back and Forward walk through views, tokens and runs', async () => {
    await run('The capital of India is', 8);
    await tab('Tree');
    await page.waitForTimeout(900);
    await page.locator('.tok').nth(2).click();
    const node = new URL(page.url().replace('#', '?')).searchParams.get('node');
    expect(node).not.toBe(null);
    await page.goBack();
    await until(async () => !page.url().includes('node='));
    expect(await page.getByRole('tab', { name: 'Tree' }).getAttribute('aria-selected')).toBe('true');
    await page.goBack();
    await page.getByRole('tab', { name: 'Outline', selected: true }).waitFor();
    await page.goBack();
    await page.locator('.text-flow').filter({ hasText: '91 prime' }).waitFor();
    await page.goForward();
    await page.locator('.text-flow').filter({ hasText: 'capital of India' }).waitFor();
    await page.goForward();
    await page.getByRole('tab', { name: 'Tree', selected: true }).waitFor();
    await page.goForward();
    await until(async () => page.url().includes(`node=${node}`));
  });

  test('keys reach the views and are told; Esc closes what is open; no focus is lost', async () => {
    await page.locator('body').click({ position: { x: 700, y: 20 } });
    await page.keyboard.press('1');
    await page.getByRole('tab', { name: 'Outline', selected: true }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    await until(async () => (await page.getByRole('dialog').count()) === 0);
    await page.getByRole('button', { name: 'Share' }).click();
    await page.getByRole('menu').waitFor();
    await page.keyboard.press('Escape');
    expect(await page.getByRole('menu').count()).toBe(0);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Share');
    await tab('Paths');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('tab-paths');
  });

  test('by hand, each key takes one token, and the list is always there', async () => {
    await page.getByRole('button', { name: 'Back to most likely' }).click();
    await tab('Outline');
    await page.getByRole('treegrid').focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('w');
    await page.getByRole('heading', { name: 'After the prompt' }).waitFor();
    const third = (await page.locator('.alternatives .step .what').nth(2).innerText()).replace('·', '');
    await page.keyboard.press('3');
    await page.getByRole('heading', { name: `After “·${third}”` }).waitFor();
    await until(async () => (await page.locator('.alternatives .step').count()) >= 5);
    await page.keyboard.press('ArrowRight');
    await until(async () => (await page.locator('.tok').count()) >= 2);
    await page.keyboard.press('ArrowLeft');
    await page.getByRole('heading', { name: `After “·${third}”` }).waitFor();
    await page.keyboard.press('Escape');
    expect(await page.getByRole('button', { name: 'By hand' }).getAttribute('aria-pressed')).toBe('false');
  });

  test('the triangle of a row opens and closes it, and selects nothing', async () => {
    await settled();
    await page.getByRole('status').filter({ hasText: 'finished' }).waitFor();
    // The outline follows a growing run with a delay; made anew, it has all rows at once.
    await tab('Paths');
    await tab('Outline');
    const grid = page.getByRole('treegrid');
    const rows = async () => Number(await grid.getAttribute('aria-rowcount'));
    const all = await rows();
    const url = page.url();
    const open = page.getByRole('row').filter({ has: page.locator('.twist', { hasText: '▾' }) });
    const index = await open.nth(1).getAttribute('aria-rowindex');
    // Other rows may be closed from the beginning: it is the same row that is opened again.
    const twist = page.locator(`[aria-rowindex="${index}"] .twist`);
    await twist.click();
    await until(async () => (await rows()) < all);
    expect(page.url()).toBe(url);
    await twist.click();
    await until(async () => (await rows()) === all);
    expect(await page.getByRole('columnheader').count()).toBe(6);
  });
});

describe('writing', () => {
  test('a hovered token shows the ten likeliest, and takes one', async () => {
    await page.getByRole('button', { name: 'Back to most likely' }).click();
    await page.locator('.tok').first().hover();
    const card = page.locator('.hover-card');
    await card.waitFor();
    expect(await card.locator('.row').count()).toBe(10);
    await card.locator('.row').filter({ hasText: 'Mumbai' }).click();
    await until(async () => (await text()).includes('is Mumbai'));
  });

  test('two choices made one after the other both go on', async () => {
    await page.getByRole('button', { name: 'Back to most likely' }).click();
    for (const word of ['known', 'located']) {
      await page.locator('.tok').first().click();
      await page.getByRole('option').filter({ hasText: word }).click();
      await until(async () => (await text()).includes(`is ${word}`));
    }
    const longest = () =>
      page.evaluate(() =>
        [...document.querySelectorAll('.outline .line')]
          .filter((l) =>
            /^.?\s*(known|located)/.test(l.querySelector('.what')?.textContent?.replace(/[▾▸]/, '').trim() ?? ''),
          )
          .map((l) => Number(l.children[4]?.textContent)),
      );
    await tab('Outline');
    await until(async () => {
      const lengths = await longest();
      return lengths.length === 2 && lengths.every((n) => n >= 25);
    }, 30_000);
    await settled();
  });

  test('text of several tokens is put in as it is, with its probability', async () => {
    await page.getByRole('button', { name: 'Back to most likely' }).click();
    await page.locator('.tok').first().click();
    await page.getByRole('searchbox', { name: 'Find a token' }).fill('New Zealand');
    const button = page.getByRole('button', { name: /Write “·New·Zealand” \(2 tokens\)/ });
    await button.click();
    await until(async () => (await text()).includes('is New Zealand'));
    await page.getByText(/“·New·Zealand” has a probability of/).waitFor();
  });

  test('a long prompt is folded, and what the model says is in sight', async () => {
    await run(`${'The quick brown fox jumps over the lazy dog. '.repeat(60)}The end of it is`, 4, 20);
    await page.getByRole('button', { name: /Show all of the prompt/ }).waitFor();
    const pane = await page.locator('.text-pane').boundingBox();
    const token = await page.locator('.tok').first().boundingBox();
    expect(token!.y + token!.height).toBeLessThanOrEqual(pane!.y + pane!.height + 1);
    await page.getByRole('button', { name: /Show all of the prompt/ }).click();
    await page.getByRole('button', { name: 'Fold the prompt' }).click();
  });
});

describe('files', () => {
  const header = (prompt: string) => ({
    type: 'header',
    format: 'logitree-run',
    version: 1,
    logitree: '0',
    created: '',
    model: { name: 'm', sha256: '', architecture: '', dtype: '', tokenizer: '', vocab: 0, context: 0, end_tokens: [1] },
    engine: 'e',
    prompt: { text: prompt, tokens: [], bos: false, chat: false },
    strategy: 'dynamic',
    parameters: {},
  });

  test('the tokens of a scored prompt are clickable, and begin other runs', async () => {
    await run('The capital of India is', 5, 20);
    await page.getByRole('button', { name: 'Score the prompt' }).click();
    const tokens = page.locator('.scored-prompt .tok');
    await tokens.first().waitFor();
    const texts = (await tokens.allInnerTexts()).map((t) => t.trim());
    expect(texts.slice(1)).toEqual(['The', 'capital', 'of', 'India', 'is']);
    // After "capital", "of" is expected, and the country is not.
    const part = async (i: number) =>
      Number.parseFloat(/([\d.]+) %/.exec((await tokens.nth(i).getAttribute('aria-label'))!)![1]!);
    expect(await part(3)).toBeGreaterThan(10 * (await part(4)));
    await tokens.nth(4).click();
    await page.getByRole('heading', { name: 'In the prompt: “·India”' }).waitFor();
    expect(await serious(page)).toEqual([]);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'In the prompt: “·is”' }).waitFor();
    // A token of the answer is looked at as before.
    await page.locator('.tok[data-node]').first().click();
    await page.getByRole('heading', { name: /^Instead of/ }).waitFor();
    await tokens.nth(4).click();
    await page.locator('.prompt-row button').first().click();
    expect(await page.getByRole('textbox', { name: 'Prompt' }).inputValue()).toMatch(/^The capital of ?\S*/);
    await page.goBack();
    await page.getByRole('button', { name: 'Score the prompt' }).click();
    await until(async () => (await page.locator('.scored-prompt').count()) === 0);
  });

  test('characters that would turn or hide text are shown, in the text and the lists', async () => {
    const token = (id: number, t: string, p: number) => ({ id, text: t, logprob: Math.log(p) });
    const top = [token(5, 'live\u202e', 0.5), token(6, '\u200b', 0.3)];
    const lines = [
      header('שלום \u202e!123'),
      { type: 'expand', node: 0, queue: 1, entropy: 1, varentropy: 1, top, children: 2 },
      { type: 'node', node: 1, parent: 0, ...top[0] },
      { type: 'node', node: 2, parent: 0, ...top[1] },
    ];
    const path = join(folder, 'odd.run.jsonl');
    writeFileSync(path, `${lines.map((l) => JSON.stringify(l)).join('\n')}\n`);
    await choose(path);
    await page.locator('.tok').filter({ hasText: 'live‹RLO›' }).waitFor();
    expect(await text()).toContain('‹RLO›!123');
    await tab('Outline');
    await page.locator('.outline .line').filter({ hasText: '‹ZWSP›' }).waitFor();
    expect(await page.evaluate(() => document.body.innerText)).not.toMatch(/[\u202e\u200b]/);
  });

  test('a dropped file is kept: it has an address, exports and a report, and its own model goes on with it', async () => {
    const id = await run('Roses are red, violets are', 5, 30);
    const content = await page.evaluate(async (i) => (await fetch(`/api/v1/runs/${i}/content`)).text(), id);
    const path = join(folder, 'roses.run.jsonl');
    writeFileSync(path, content);
    await choose(path);
    await until(async () => page.url().includes('run=') && !page.url().includes(`run=${id}&`));
    await page.reload();
    await page.locator('.tok').first().waitFor();
    expect(await text()).toContain('Roses are red');
    // One that is not in the file is no dead row.
    await page.locator('.tok').first().click();
    const rows = page.locator('.alternatives .step:not(.in-tree)');
    expect(await rows.first().isEnabled()).toBe(true);
    await rows.first().click();
    await until(async () => (await page.locator('.tok').count()) > 10);
    await settled();
    await tab('Tree');
    const [there, at] = [await text(), new URLSearchParams(new URL(page.url()).hash.slice(1)).get('node')];
    await page.getByRole('button', { name: 'Share' }).click();
    const [report] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('menuitem', { name: 'HTML report' }).click(),
    ]);
    const file = join(folder, 'report.html');
    await report.saveAs(file);
    const other = await openPage(browser, `file://${file}`);
    // It opens at the place that was looked at.
    await other.page.locator('.tok.selected').waitFor();
    expect((await other.page.locator('.text-flow').innerText()).replace(/\s+/g, ' ')).toBe(there);
    expect(new URLSearchParams(new URL(other.page.url()).hash.slice(1)).get('node')).toBe(at);
    await other.page.getByRole('tab', { name: 'Tree', selected: true }).waitFor();
    expect(other.errors).toEqual([]);
    await other.page.close();
    await page.getByRole('button', { name: 'Share' }).click();
    const [picture] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('menuitem', { name: /Picture of the text/ }).click(),
    ]);
    expect(readFileSync((await picture.path()) ?? '', 'utf8')).toMatch(/^<svg [\s\S]*Roses[\s\S]*<\/svg>$/);
  });

  test('a tree of another model is grown with the one that is here', async () => {
    await choose(resolve(import.meta.dirname, '../../fixtures/imports/tree-good.json'));
    await page.getByRole('button', { name: /^Grow this with/ }).click();
    expect(await page.getByRole('textbox', { name: 'Prompt' }).inputValue()).not.toBe('');
    await page.goBack();
    await page.locator('.tok').first().waitFor();
  });
});

describe('new views', () => {
  test('answers have bounds that hold what the paths decide', async () => {
    await run('The capital of India is', 10, 300);
    await tab('Answers');
    await page.getByRole('searchbox', { name: /Choices/ }).fill('capital, city, zebra');
    const row = page.getByRole('row').filter({ hasText: 'capital' });
    await row.waitFor();
    const [least, most] = (await row.getByRole('cell').allInnerTexts()).map((t) =>
      Number.parseFloat(t.replace('>', '')),
    );
    expect(least!).toBeGreaterThan(0);
    expect(most!).toBeGreaterThanOrEqual(least!);
    expect(await page.getByRole('row').filter({ hasText: 'zebra' }).count()).toBe(0);
    expect(await serious(page)).toEqual([]);
    await page.getByLabel('as a regular expression').check();
    await page.getByRole('searchbox', { name: /Regular expression/ }).fill('the (\\w+)');
    await page.getByText('only finished paths decide').waitFor();
    await page.getByLabel('as a regular expression').uncheck();
  });

  test('two branches, and two runs, are compared token by token', async () => {
    await tab('Outline');
    await page.locator('.tok').first().click();
    await page.locator('.alternatives').getByRole('option').nth(1).click();
    await page.locator('.tok').nth(2).waitFor();
    await tab('Compare');
    await page.getByLabel('Compare with').selectOption('branch');
    await page.getByText(/The paths part at the first token; A says “.+”, B says “.+”/).waitFor();
    await page.getByLabel('Compare with').selectOption({ index: 2 });
    await page.locator('.compare-text .tok').first().waitFor();
    expect(await serious(page)).toEqual([]);
  });

  test('each layer of the model is told at the selected token, and which one decides', async () => {
    await run('The capital of India is', 8, 40);
    await tab('Layers');
    await page.getByRole('heading', { name: 'After the prompt, layer by layer' }).waitFor();
    const rows = page.locator('.layer-table tbody tr');
    await rows.first().waitFor();
    // The embedding, 18 layers, the rest and the logit.
    expect(await rows.count()).toBe(1 + 18 + 2);
    const decided = Number(
      (await page.getByRole('row').filter({ hasText: 'decides' }).locator('th').innerText()).split(' ')[0],
    );
    const best = await page
      .locator('.layer-table .best')
      .evaluateAll((all) => all.map((e) => e.firstChild!.textContent));
    expect(best.lastIndexOf(best.find((t, i) => i < decided && t !== best.at(-1)) ?? '')).toBeLessThan(decided);
    expect(new Set(best.slice(decided))).toEqual(new Set([best.at(-1)]));
    expect(decided === 0 || best[decided - 1] !== best.at(-1)).toBe(true);
    expect(await serious(page)).toEqual([]);
    // An unlikely token is set against the likeliest one, and told to be behind.
    await page.locator('.alternatives').getByRole('option').nth(2).click();
    await page.getByText(/, which stands here, ends [\d.]+ bits behind “/).waitFor();
    expect(await page.locator('.layer-table thead .of-token:not(.num)').count()).toBe(3);
    // The arrow keys walk along the path.
    await page.getByRole('application', { name: /^Rank after each layer/ }).focus();
    await page.keyboard.press('ArrowRight');
    await page.getByRole('heading', { name: /^Instead of “.+”, layer by layer/ }).waitFor();
  });

  test('without the model that made a run, its layers are not promised', async () => {
    await choose(resolve(import.meta.dirname, '../../fixtures/imports/tree-good.json'));
    await tab('Layers');
    await page.getByText(/This run was not made by a model of logitree/).waitFor();
    await tab('Decision');
    await page.getByText(/This run was not made by a model of logitree/).waitFor();
  });

  test('a decision curve says at which token the text was decided, and can be stopped', async () => {
    await run('The soup is', 4, 30);
    await page.getByRole('searchbox', { name: 'Find a token' }).fill(' hot');
    await page.getByRole('option', { name: '·hot', exact: false }).first().click();
    await until(async () => (await text()).startsWith('The soup is hot'));
    await settled();
    await tab('Decision');
    await page.getByRole('searchbox', { name: /Choices/ }).fill('hot, cold');
    await page.keyboard.press('Enter');
    await page.getByText(/Decided for “?hot”? at token 1,/).waitFor();
    const cells = async (row: number) =>
      (await page.locator('.decision-table tbody tr').nth(row).locator('td.num').allInnerTexts()).slice(1);
    // Before the first token it is open, after it is as good as certain, and at the end it is.
    const [before, after] = [await cells(0), await cells(1)];
    expect(Number.parseFloat(before[0]!)).toBeLessThan(50);
    expect(Number.parseFloat(after[0]!.replace('> ', ''))).toBeGreaterThan(90);
    expect((await cells(3))[0]).toBe('100 %');
    expect(await serious(page)).toEqual([]);
    await page
      .getByText(/Decided for/)
      .getByRole('button', { name: '·hot' })
      .click();
    await page.getByRole('heading', { name: 'Instead of “·hot”' }).waitFor();
    // No text decides this one before it ends.
    await page.getByLabel('as a regular expression').check();
    await page.getByRole('searchbox', { name: /Regular expression/ }).fill('(z{30})$');
    await page.keyboard.press('Enter');
    await page.getByText(/ places · after \d+ of \d+ tokens/).waitFor();
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByText(/^Stopped: \d+ of \d+ places are known/).waitFor();
    // What the server cannot read, it says.
    await page.getByRole('searchbox', { name: /Regular expression/ }).fill('(?<=a)b');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').filter({ hasText: 'look-around' }).waitFor();
    await page.getByLabel('as a regular expression').uncheck();
  });

  test('two prompts of the loaded model are compared over the whole vocabulary', async () => {
    const other = await run('The soup was', 4, 30);
    await run('The soup is', 5, 30);
    await tab('Compare');
    await page.getByLabel('Compare with').selectOption('branch');
    await page.getByText('Both come from one model and one prompt').waitFor();
    await page.getByLabel('Compare with').selectOption(`server:${other}`);
    await page.getByRole('button', { name: 'Compare over the whole vocabulary' }).click();
    const said = await page.getByText(/On average a token: KL\(A‖B\) [\d.]+ bits/).innerText();
    const js = Number(/Jensen-Shannon ([\d.]+) bits/.exec(said)![1]);
    expect(js).toBeGreaterThan(0);
    expect(js).toBeLessThanOrEqual(1);
    await page.getByRole('application', { name: /^How far apart/ }).waitFor();
    expect(await serious(page)).toEqual([]);
  });

  test('a text is scored, and a run begins at any of its tokens', async () => {
    await page.getByRole('button', { name: 'Score a text' }).click();
    await page.getByRole('textbox', { name: 'Text to score' }).fill('The quick brown fox jumps over the lazy zebra.');
    await page.getByRole('button', { name: 'Score', exact: true }).click();
    await page.getByText(/tokens · [\d.]+ bits/).waitFor();
    const bits = (word: string) =>
      page
        .locator('.scored .tok')
        .filter({ hasText: word })
        .first()
        .getAttribute('aria-label')
        .then((l) => Number.parseFloat(l!.split(', ')[1]!));
    expect(await bits('zebra')).toBeGreaterThan(await bits('jumps'));
    await page.locator('.scored .tok').filter({ hasText: 'zebra' }).click();
    expect(await serious(page)).toEqual([]);
    await page.getByRole('button', { name: 'Grow a run from here' }).click();
    expect(await page.getByRole('textbox', { name: 'Prompt' }).inputValue()).toBe(
      'The quick brown fox jumps over the lazy',
    );
  });
});

describe('seen otherwise', () => {
  const VIEWS = ['Outline', 'Tree', 'Ribbon', 'Curves', 'Paths', 'Answers', 'Compare', 'Layers', 'Decision'];

  test('at 200 % everything is there and nothing is cut off', async () => {
    // A window of 1440 × 900 at 200 %.
    await page.setViewportSize({ width: 720, height: 450 });
    await run('The capital of India is', 8, 40);
    for (const name of VIEWS) {
      await tab(name);
      await page.waitForTimeout(150);
      const { over, height, hidden } = await page.evaluate(() => {
        const view = document.querySelector('.view')!.getBoundingClientRect();
        // What stands in the window can be seen and pressed, or is reached by scrolling where it stands.
        const outside = [...document.querySelectorAll<HTMLElement>('button, select, [role="tab"]')].filter((e) => {
          const r = e.getBoundingClientRect();
          const scrolls = (at: HTMLElement | null): boolean =>
            at !== null && (/auto|scroll/.test(getComputedStyle(at).overflow) || scrolls(at.parentElement));
          return r.width > 0 && (r.right > innerWidth + 1 || r.bottom > innerHeight + 1) && !scrolls(e.parentElement);
        });
        return {
          over: document.documentElement.scrollWidth - innerWidth,
          height: view.height,
          hidden: outside.map((e) => e.textContent),
        };
      });
      expect([name, over, hidden]).toEqual([name, 0, []]);
      expect(height).toBeGreaterThan(200);
    }
    expect(await serious(page)).toEqual([]);
    // What the bar has no room for is in a menu.
    await page.getByRole('button', { name: 'More' }).click();
    const items = await page.getByRole('menuitem').allInnerTexts();
    expect(items).toEqual(['About this run', 'Again, with changes', 'Score a text', 'Open files…', 'All keys']);
    await page.getByRole('menuitem', { name: 'About this run' }).click();
    const about = page.getByRole('dialog', { name: 'About this run' });
    await about.getByText('gemma-3-270m').first().waitFor();
    expect(await serious(page)).toEqual([]);
    await page.keyboard.press('Escape');
    expect(await about.count()).toBe(0);
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('More');
    await page.getByRole('button', { name: 'More' }).click();
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByRole('menuitem', { name: 'Open files…' }).click(),
    ]);
    expect(chooser.isMultiple()).toBe(true);
    await page.getByRole('button', { name: 'More' }).click();
    await page.getByRole('menuitem', { name: 'Score a text' }).click();
    await page.getByRole('textbox', { name: 'Text to score' }).waitFor();
    await page.goBack();
    await page.locator('.tok').first().waitFor();
    await page.setViewportSize({ width: 1440, height: 900 });
  });

  test('with forced colours, what is chosen, coloured and drawn can still be told', async () => {
    await page.emulateMedia({ forcedColors: 'active' });
    await page.locator('.tok').nth(1).click();
    await page.mouse.move(700, 20);
    for (const name of VIEWS) {
      await tab(name);
      await page.waitForTimeout(100);
      // What contrast there is, the system decides, and axe does not know its colours.
      expect((await serious(page)).filter((x) => !x.startsWith('color-contrast'))).toEqual([]);
      const outlined = (selector: string) =>
        page
          .locator(selector)
          .first()
          .evaluate((e) => {
            const { outlineStyle, outlineWidth, outlineColor, backgroundColor } = getComputedStyle(e);
            return outlineStyle === 'solid' && outlineWidth !== '0px' && outlineColor !== backgroundColor;
          });
      // The tab that is chosen, the token, and the row of the list that stands there.
      expect(await outlined('[role="tab"][aria-selected="true"]')).toBe(true);
      expect(await outlined('.text-flow .tok.selected')).toBe(true);
      expect(await outlined('.alternatives .step.here')).toBe(true);
    }
    // Tokens keep their colours, and bars are there.
    const ground = (selector: string, i: number) =>
      page
        .locator(selector)
        .nth(i)
        .evaluate((e) => getComputedStyle(e).backgroundColor);
    const colours = await page
      .locator('.text-flow .tok')
      .evaluateAll((all) => new Set(all.map((e) => getComputedStyle(e).backgroundColor)).size);
    expect(colours).toBeGreaterThan(2);
    expect(await ground('.alternatives .step .bar', 0)).not.toBe(await ground('body', 0));
    await page.emulateMedia({ forcedColors: 'none' });
  });
});

describe('pictures', () => {
  test('the whole tree is a picture with texts, and what no file can hold is not offered', async () => {
    await run('The capital of India is', 6, 40);
    await tab('Tree');
    await page.locator('.view canvas.canvas').waitFor();
    await page.getByRole('button', { name: 'Share' }).click();
    await page.getByText('Logprobs JSONL: no path has finished').waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('menuitem', { name: 'Picture of the tree (SVG)' }).click(),
    ]);
    const svg = readFileSync(await download.path(), 'utf8');
    const found = await page.evaluate((text) => {
      const root = new DOMParser().parseFromString(text, 'image/svg+xml').documentElement;
      const texts = [...root.querySelectorAll('text')].map((t) => t.textContent ?? '');
      return { name: root.nodeName, texts, paths: root.querySelectorAll('path').length };
    }, svg);
    expect(found.name).toBe('svg');
    expect(found.texts.join(' ')).toContain('The capital of India is');
    const boxes = await page.evaluate(() => (globalThis as { __tree?: { count(): number } }).__tree!.count());
    expect(found.paths).toBeGreaterThan(boxes);
    expect(svg).not.toContain('NaN');
    if (process.env.SHOTS) writeFileSync(join(process.env.SHOTS, 'tree.svg'), svg);
  });
});

describe('files of other programs', () => {
  test('an answer of OpenAI becomes a run, and what it leaves out is said', async () => {
    const list = [
      { token: ' Delhi', bytes: [32, 68, 101, 108, 104, 105], logprob: -0.5 },
      { token: ' Mumbai', bytes: [32, 77, 117, 109, 98, 97, 105], logprob: -1.5 },
    ];
    const content = [{ ...list[0], top_logprobs: list }];
    const choices = [{ index: 0, finish_reason: 'length', message: { content: ' Delhi' }, logprobs: { content } }];
    const path = join(folder, 'answer.json');
    writeFileSync(path, JSON.stringify({ object: 'chat.completion', model: 'their-model', choices }, null, 2));
    await choose(path);
    await page.locator('.tok').filter({ hasText: 'Delhi' }).first().waitFor();
    await page.getByText('leaves out more than 1 % of the probability, at most 17.0 %').waitFor();
    await page.reload();
    await page.locator('.tok').filter({ hasText: 'Delhi' }).first().waitFor();
    // Raw logits are told at their place, and disturb nothing.
    writeFileSync(path, JSON.stringify({ choices: [{ logprobs: { content: [{ token: 'a', logprob: 12.5 }] } }] }));
    await choose(path);
    await page.getByText('choice 0, token 0: `logprob` is 12.5, above 0').waitFor();
    expect(await page.locator('.tok').first().innerText()).toContain('Delhi');
  });

  test('the application is small, and comes compressed', async () => {
    await page.goto(server.link);
    const sizes = await page.evaluate(() =>
      (performance.getEntriesByType('resource') as PerformanceResourceTiming[])
        .filter((e) => /\.(js|css)$/.test(e.name))
        .map((e) => [e.encodedBodySize, e.decodedBodySize] as const),
    );
    const sum = (i: 0 | 1) => sizes.reduce((all, s) => all + s[i], 0);
    expect(sum(1)).toBeGreaterThan(200_000);
    expect(sum(0)).toBeLessThan(120_000);
  });
});

describe('when things go wrong', () => {
  test('a run that was deleted, or never was, is told in a sentence of its own', async () => {
    const id = await run('One two three', 3, 10);
    await page.evaluate((i) => fetch(`/api/v1/runs/${i}`, { method: 'DELETE' }), id);
    await page.getByRole('alert').filter({ hasText: 'This run was deleted' }).waitFor();
    expect(await page.locator('.tok').count()).toBeGreaterThan(0);
    await page.evaluate(() => {
      location.hash = 'run=no-such-run';
    });
    await page.getByRole('alert').filter({ hasText: 'There is no run “no-such-run”' }).waitFor();
    await page.getByRole('button', { name: 'To the first page' }).click();
    await page.getByRole('textbox', { name: 'Prompt' }).waitFor();
  });

  test('nothing went wrong on the page', () => {
    expect(errors).toEqual([]);
  });
});
