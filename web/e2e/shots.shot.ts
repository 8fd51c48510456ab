// The screenshots of the README and docs/, of a live run of the default model: npm run shots.

import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'vitest';
import { browse, openPage, serve } from './browser';

test('screenshots', async () => {
  const out = resolve(import.meta.dirname, '../../docs/screenshots');
  mkdirSync(out, { recursive: true });
  const server = await serve(['serve', '--port', '7990']);
  const browser = await browse();
  const { page } = await openPage(browser, server.link, { width: 1360, height: 850 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.getByRole('button', { name: 'New run' }).click();
  await page.getByLabel('Depth in tokens').fill('14');
  await page.waitForTimeout(800);
  await page.screenshot({ path: `${out}/new-run.png` });
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByRole('status').filter({ hasText: 'finished' }).waitFor();
  await page.locator('.tok').first().click();
  await page.getByRole('option').filter({ hasText: 'Mumbai' }).waitFor();
  await page.screenshot({ path: `${out}/text.png` });
  await page.getByRole('option').filter({ hasText: 'Mumbai' }).click();
  await page.waitForTimeout(1500);
  for (const name of ['Outline', 'Tree', 'Ribbon', 'Curves', 'Paths']) {
    await page.getByRole('tab', { name }).click();
    await page.waitForTimeout(600);
    await page.screenshot({ path: `${out}/${name.toLowerCase()}.png` });
  }
  await browser.close();
  server.process.kill('SIGINT');
});
