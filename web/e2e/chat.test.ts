// Conversations, with a model that has a chat template.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browse, openPage, type Server, serious, serve } from './browser';

let browser: Browser;
let server: Server;
let page: Page;
let errors: string[];

const tokens = () =>
  page.evaluate(() => [...document.querySelectorAll('.tokens .token')].map((t) => t.textContent).join(''));
/** The tokens once they are others than before. */
async function after(act: () => Promise<unknown>): Promise<string> {
  const before = await tokens();
  await act();
  for (let i = 0; i < 200; i++) {
    const now = await tokens();
    if (now !== '' && now !== before) return now;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`still ${before}`);
}

beforeAll(async () => {
  browser = await browse();
  server = await serve(['serve', '--model', 'smollm2-135m', '--port', '7970']);
  ({ page, errors } = await openPage(browser, server.link));
});
afterAll(async () => {
  await browser?.close();
  server?.process.kill('SIGINT');
});

describe('a conversation', () => {
  test('of several turns shows the exact tokens of the chat template', async () => {
    await page.getByRole('textbox', { name: 'Prompt' }).fill('Name a colour.');
    const plain = await after(() => page.getByRole('textbox', { name: 'Prompt' }).fill('Name a fruit.'));
    expect(plain).not.toContain('<|im_start|>');
    const one = await after(() => page.getByLabel('As a conversation').check());
    expect(one).toMatch(/<\|im_start\|>user⏎Name·a·fruit\.<\|im_end\|>⏎<\|im_start\|>assistant⏎$/);

    await page.getByRole('button', { name: 'Add a turn' }).click();
    expect(await page.getByLabel('Role of turn 2').inputValue()).toBe('assistant');
    await page.getByLabel('Text of turn 2').fill('Apple.');
    await page.locator('.tokens .bad', { hasText: 'end with what the user says' }).waitFor();
    await page.getByRole('button', { name: 'Add a turn' }).click();
    const three = await after(() => page.getByLabel('Text of turn 3').fill('Another one.'));
    expect(three).toContain('<|im_start|>assistant⏎Apple.<|im_end|>⏎<|im_start|>user⏎Another·one.');

    await page.getByRole('button', { name: 'Add a system message' }).click();
    const four = await after(() => page.getByLabel('Text of turn 1').fill('Be brief.'));
    expect(four).toMatch(/^<\|im_start\|>system⏎Be·brief\./);
    const without = await after(() => page.getByRole('button', { name: 'Remove turn 1' }).click());
    expect(without).toBe(three);
    expect(await serious(page)).toEqual([]);
  });

  test('starts a run, whose text shows who said what', async () => {
    await page.getByText('How far, and which way').click();
    await page.getByLabel('Depth in tokens').fill('5');
    await page.getByRole('button', { name: 'Grow', exact: true }).click();
    await page.getByRole('status').filter({ hasText: 'finished' }).waitFor();
    const text = await page.locator('.text-flow').innerText();
    expect(text).toMatch(/^user Name a fruit\.\s+assistant Apple\.\s+user Another one\.\s+assistant \S/);
  });

  test('with variables of the template is run again with them', async () => {
    const kwargs = { enable_thinking: false };
    const id = await page.evaluate(async (chat_template_kwargs) => {
      const messages = [{ role: 'user', content: 'Name a river.' }];
      const body = JSON.stringify({ messages, chat_template_kwargs, parameters: { max_depth: 3 }, max_nodes: 50 });
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch('/api/v1/runs', { method: 'POST', headers, body });
      return ((await answer.json()) as { id: string }).id;
    }, kwargs);
    await page.evaluate((run) => {
      location.hash = `run=${run}`;
    }, id);
    await page.locator('.text-flow').filter({ hasText: 'user Name a river.' }).waitFor();
    await page.getByRole('button', { name: 'About' }).click();
    await page.getByText('template: enable_thinking').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Again, with changes' }).click();
    await page.getByText('The chat template is given enable_thinking = false.').waitFor();
    expect(await page.getByLabel('Text of turn 1').inputValue()).toBe('Name a river.');
    if (!(await page.getByLabel('Depth in tokens').isVisible())) await page.getByText('How far, and which way').click();
    expect(await page.getByLabel('Depth in tokens').inputValue()).toBe('3');
    expect(await serious(page)).toEqual([]);
    const request = page.waitForRequest((r) => r.method() === 'POST' && r.url().endsWith('/runs'));
    await page.getByRole('button', { name: 'Grow', exact: true }).click();
    expect((await request).postDataJSON()).toMatchObject({
      messages: [{ role: 'user', content: 'Name a river.' }],
      chat_template_kwargs: kwargs,
      parameters: { max_depth: 3 },
      max_nodes: 50,
    });
    await page.locator('.text-flow').filter({ hasText: 'user Name a river.' }).waitFor();
    await page.getByRole('button', { name: 'About' }).click();
    await page.getByText('template: enable_thinking').waitFor();
  });

  test('nothing went wrong on the page', () => {
    expect(errors).toEqual([]);
  });
});
