// The screenshots of the README and docs/, of a live run of the default model: npm run shots. With LOGITREE_ALL_SHOTS=FOLDER all screens at
// all sizes in both themes go there, to be looked at. pngquant makes them small.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Page } from 'playwright-core';
import { test } from 'vitest';
import { browse, openPage, serve } from './browser';

const SIZES = { desk: [1440, 900], laptop: [1280, 720], phone: [390, 844] } as const;
const SCREENS = ['start', 'outline', 'tree', 'ribbon', 'answers', 'compare', 'layers', 'decision'] as const;
type Screen = (typeof SCREENS)[number];

/** What docs/screenshots has. */
const KEPT: [Screen, keyof typeof SIZES, 'light' | 'dark'][] = [
  ['start', 'desk', 'light'],
  ['outline', 'laptop', 'light'],
  ['tree', 'desk', 'light'],
  ['tree', 'laptop', 'dark'],
  ['ribbon', 'laptop', 'dark'],
  ['answers', 'laptop', 'light'],
  ['compare', 'laptop', 'light'],
  ['layers', 'laptop', 'light'],
  ['decision', 'laptop', 'dark'],
  ['start', 'phone', 'light'],
  ['outline', 'phone', 'dark'],
];

const QUESTION = 'Question: Is the number 91 prime? Answer yes or no.\nAnswer:';

async function show(page: Page, screen: Screen): Promise<void> {
  if (screen === 'start') {
    await page.getByRole('button', { name: 'New run' }).click();
    await page.getByRole('textbox', { name: 'Prompt' }).fill('The capital of India is');
    await page.locator('.tokens .token').first().waitFor();
    return;
  }
  const name = screen === 'answers' || screen === 'decision' ? '91 prime' : 'India';
  await page.locator('.gallery a').filter({ hasText: name }).first().click();
  await page.locator('.tok').first().waitFor();
  await page.getByRole('tab', { name: screen, exact: false }).click();
  if (screen === 'answers') {
    await page.getByRole('searchbox', { name: /Choices/ }).fill('yes, no');
    await page.locator('.bounds').waitFor();
  }
  if (screen === 'layers') {
    await page.locator('.tok').nth(1).click();
    if (await page.getByRole('dialog').count()) await page.keyboard.press('Escape');
    await page.mouse.move(400, 5);
    await page.locator('.layer-table tbody tr').first().waitFor();
  }
  if (screen === 'decision') {
    await page.getByRole('searchbox', { name: /Choices/ }).fill('yes, no');
    await page.keyboard.press('Enter');
    await page.getByText(/^(Decided|Not decided)/).waitFor({ timeout: 120_000 });
  }
  if (screen === 'compare') {
    await page.getByLabel('Compare with').selectOption({ index: 2 });
    await page.locator('.compare-text .tok').first().waitFor();
  }
  await page.waitForTimeout(500);
}

test('screenshots', async () => {
  const all = process.env.LOGITREE_ALL_SHOTS;
  const out = all ?? resolve(import.meta.dirname, '../../docs/screenshots');
  mkdirSync(out, { recursive: true });
  const server = await serve(['serve', '--port', '7990']);
  const browser = await browse();
  const first = await openPage(browser, server.link);
  for (const prompt of [QUESTION, 'The capital of France is', 'The capital of India is']) {
    await first.page.getByRole('button', { name: 'New run' }).click();
    await first.page.getByRole('textbox', { name: 'Prompt' }).fill(prompt);
    await first.page.keyboard.press('Control+Enter');
    await first.page
      .locator('.text-flow')
      .filter({ hasText: prompt.split('\n')[0]! })
      .waitFor();
    await first.page.getByRole('status').filter({ hasText: 'finished' }).waitFor();
  }
  await first.page.close();
  const wanted: typeof KEPT = all
    ? SCREENS.flatMap((s) =>
        (Object.keys(SIZES) as (keyof typeof SIZES)[]).flatMap((size) =>
          (['light', 'dark'] as const).map((t): (typeof KEPT)[number] => [s, size, t]),
        ),
      )
    : KEPT;
  for (const [screen, size, theme] of wanted) {
    const [width, height] = SIZES[size];
    const { page } = await openPage(browser, server.link, { width, height });
    await page.emulateMedia({ colorScheme: theme });
    await show(page, screen);
    const path = `${out}/${screen}-${size}-${theme}.png`;
    await page.screenshot({ path });
    execFileSync('pngquant', ['24', '--nofs', '--speed', '1', '--force', '--output', path, path]);
    await page.close();
  }
  await browser.close();
  server.process.kill('SIGINT');
}, 900_000);
