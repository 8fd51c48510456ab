// The Python package's pictures and live page in real notebooks, in a real browser.
//
// LOGITREE_NOTEBOOK_PYTHON names the Python that has logitree, jupyterlab, marimo and nbconvert (python/tests/run does).

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Browser, FrameLocator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { browse } from './browser';

const python = process.env.LOGITREE_NOTEBOOK_PYTHON;
const models = process.env.LOGITREE_TEST_MODELS;
const folder = mkdtempSync(join(tmpdir(), 'logitree-notebook-'));

const BEGIN = `import logitree as lt
m = lt.load(${JSON.stringify(join(models ?? '', 'gemma-3-270m-q4_k_m.gguf'))})
r = m.tree("The capital of India is", max_depth=8, max_nodes=60, progress=False)`;

const notebook = (...cells: string[]) =>
  JSON.stringify({
    cells: cells.map((source, i) => ({
      cell_type: 'code',
      id: `cell-${i}`,
      execution_count: null,
      metadata: {},
      outputs: [],
      source,
    })),
    metadata: { kernelspec: { display_name: 'Python 3', language: 'python', name: 'python3' } },
    nbformat: 4,
    nbformat_minor: 5,
  });

/** Starts a program and waits for a line that it prints. */
async function start(args: string[], line: RegExp): Promise<{ process: ChildProcess; found: string }> {
  const child = spawn(python!, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const said: string[] = [];
  return new Promise((done, fail) => {
    for (const from of [child.stdout, child.stderr])
      createInterface({ input: from }).on('line', (l) => {
        said.push(l);
        const found = line.exec(l)?.[0];
        if (found) done({ process: child, found });
      });
    child.on('exit', () => fail(new Error(`it ended before it was ready:\n${said.join('\n')}`)));
  });
}

/** The page of the widget. */
const frame = (page: Page): FrameLocator => page.frameLocator('iframe[title="logitree"]');

/** Takes another token than the model's own, and sees the model go on from it. */
async function goOn(app: FrameLocator): Promise<void> {
  await app.locator('.tok').first().waitFor({ timeout: 60_000 });
  await app.locator('.tok').first().click();
  await app.getByRole('option').filter({ hasText: 'Mumbai' }).click();
  await app.locator('.text-flow').filter({ hasText: 'is Mumbai' }).waitFor({ timeout: 60_000 });
  await app.getByRole('status').filter({ hasText: 'finished' }).waitFor({ timeout: 60_000 });
}

describe.skipIf(!python || !models)('in a notebook', () => {
  let browser: Browser;
  let page: Page;
  let running: ChildProcess | undefined;

  beforeAll(async () => {
    browser = await browse();
  });
  afterAll(async () => {
    running?.kill('SIGTERM');
    await browser?.close();
  });

  test('JupyterLab: the page goes on in the kernel, and the picture is there without trust', async () => {
    const cells = [BEGIN, 'w = r.live(m)\nw', 'print("now", len(w.run) > len(r), w.run.paths(1)[0].text)'];
    writeFileSync(join(folder, 'lab.ipynb'), notebook(...cells, 'r'));
    const options = ['--no-browser', '--allow-root', '--ServerApp.port=0', '--IdentityProvider.token=t'];
    const lab = await start(['-m', 'jupyterlab', ...options], /http:\/\/127\.0\.0\.1:\d+/);
    running = lab.process;
    page = await browser.newPage({ viewport: { width: 1440, height: 1000 } });
    await page.goto(`${lab.found}/lab/tree/lab.ipynb?token=t`);
    await page.locator('.jp-Cell').first().waitFor({ timeout: 60_000 });
    await page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').waitFor({ timeout: 60_000 });
    const run = async (cell: number) => {
      const one = page.locator('.jp-Cell').nth(cell);
      const done = one.locator('.jp-InputPrompt').filter({ hasText: /\[\d+\]:/ });
      // JupyterLab loses what it is told while it connects to the kernel.
      for (let tries = 0; (await done.count()) === 0 && tries < 12; tries++) {
        await one.locator('.cm-content').click();
        await page.keyboard.press('Control+Enter');
        await done.waitFor({ timeout: 15_000 }).catch(() => {});
      }
      await done.waitFor();
    };
    await run(0);
    await run(1);
    await goOn(frame(page));
    if (process.env.LOGITREE_SHOTS) await page.screenshot({ path: join(process.env.LOGITREE_SHOTS, 'lab.png') });
    await run(2);
    await page.locator('.jp-OutputArea-output').getByText('now True').waitFor({ timeout: 60_000 });
    await run(3);
    const picture = page.locator('.jp-Cell').nth(3).locator('.jp-OutputArea-output table').first();
    await picture.waitFor();
    // Written down, and opened by somebody who has not run it: only the pictures are there.
    await page.keyboard.press('Control+s');
    await page.waitForTimeout(1500);
    const saved = readFileSync(join(folder, 'lab.ipynb'), 'utf8');
    expect(saved).toContain('application/vnd.jupyter.widget-view+json');
    expect(saved.length).toBeLessThan(200_000);
    // JupyterLab trusts what has run here, by its content.
    writeFileSync(join(folder, 'foreign.ipynb'), saved.replace('print(', 'print( '));
    await page.goto(`${lab.found}/lab/tree/foreign.ipynb?token=t&reset`);
    await page.getByRole('tab', { name: 'foreign.ipynb' }).waitFor({ timeout: 60_000 });
    await page.locator('.jp-OutputArea-output table').first().waitFor({ timeout: 60_000 });
    expect(await page.locator('iframe').count()).toBe(0);
    expect(await page.locator('.jp-OutputArea-output').getByText('Pradesh').count()).toBeGreaterThan(0);
    if (process.env.LOGITREE_SHOTS) await page.screenshot({ path: join(process.env.LOGITREE_SHOTS, 'foreign.png') });
    running.kill('SIGTERM');
  }, 300_000);

  test('marimo: the same page, by its own messages', async () => {
    const indent = (code: string) => code.replaceAll('\n', '\n    ');
    writeFileSync(
      join(folder, 'app.py'),
      `import marimo\napp = marimo.App()\n\n@app.cell\ndef _():\n    ${indent(BEGIN)}\n    w = r.live(m)\n    w\n    return (w,)\n`,
    );
    const marimo = await start(
      ['-m', 'marimo', 'run', 'app.py', '--headless', '--no-token', '--port', '28431'],
      /http:\/\/[\w.]+:\d+/,
    );
    running = marimo.process;
    page = await browser.newPage({ viewport: { width: 1440, height: 1000 } });
    await page.goto(marimo.found);
    await goOn(frame(page));
    if (process.env.LOGITREE_SHOTS) await page.screenshot({ path: join(process.env.LOGITREE_SHOTS, 'marimo.png') });
    running.kill('SIGTERM');
  }, 180_000);

  test('exported as HTML, without a kernel, the pictures are there', async () => {
    execFileSync(python!, ['-m', 'nbconvert', '--to', 'html', 'lab.ipynb'], { cwd: folder, stdio: 'pipe' });
    page = await browser.newPage();
    await page.goto(`file://${join(folder, 'lab.html')}`);
    await page.getByText('·Pradesh').first().waitFor();
    if (process.env.LOGITREE_SHOTS)
      await page.screenshot({ path: join(process.env.LOGITREE_SHOTS, 'html.png'), fullPage: true });
  }, 60_000);

  test('under the content policy of VS Code, the report of view() works, its patterns too', async () => {
    const code = `${BEGIN}\nopen("view.html", "w").write(r.view()._repr_html_())`;
    execFileSync(python!, ['-c', code], { cwd: folder, stdio: 'pipe' });
    // As VS Code sends it to the page in which outputs of notebooks are shown.
    const policy =
      "default-src 'none'; script-src https: 'unsafe-inline' 'unsafe-eval'; style-src https: 'unsafe-inline'; img-src https: data: blob:; font-src https:; connect-src https:; child-src https: data:";
    const body = readFileSync(join(folder, 'view.html'), 'utf8');
    writeFileSync(
      join(folder, 'vscode.html'),
      `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}">${body}`,
    );
    page = await browser.newPage({ viewport: { width: 1200, height: 700 } });
    await page.goto(`file://${join(folder, 'vscode.html')}`);
    const app = page.frameLocator('iframe');
    await app.locator('.tok').first().waitFor();
    await app.getByRole('tab', { name: 'Paths' }).click();
    await app.getByPlaceholder('regular expression').fill('Ut(tar)');
    await app.getByText(/^[1-9]\d* paths?$/).waitFor();
    if (process.env.LOGITREE_SHOTS) await page.screenshot({ path: join(process.env.LOGITREE_SHOTS, 'vscode.png') });
  }, 60_000);
});
