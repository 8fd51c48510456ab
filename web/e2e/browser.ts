// The real server with the real default model, and a real browser.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type Browser, chromium, type Page } from 'playwright-core';

const root = resolve(import.meta.dirname, '../..');

let said = false;

/** The program to test: the one that LOGITREE_BIN names, or else the debug build of this folder. There is no other: a test of an older build would say nothing. */
export function program(): string {
  const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
  const path = resolve(process.env.LOGITREE_BIN ?? join(target, 'debug/logitree'));
  if (!existsSync(path)) throw new Error(`there is no program ${path}: build it, or name another in LOGITREE_BIN`);
  if (!said) console.info(`testing ${path}, built ${statSync(path).mtime.toISOString()}`);
  said = true;
  return path;
}

export interface Server {
  link: string;
  process: ChildProcess;
  data: string;
}

/** Starts `logitree` with these arguments and waits for its link. */
export async function serve(args: string[], data = mkdtempSync(join(tmpdir(), 'logitree-'))): Promise<Server> {
  const all = args[0] === 'view' ? args : [...args, '--data-dir', data];
  const child = spawn(program(), all, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) return { link: line, process: child, data };
  throw new Error('the server ended before it printed a link');
}

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export async function browse(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? CHROMIUM.find((p) => existsSync(p));
  if (!executablePath) throw new Error('no Chromium: install the Debian package chromium, or name one in CHROMIUM');
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** A page that fails the test on any error of its own, and on any request to another server. */
export async function openPage(
  browser: Browser,
  link: string,
  size = { width: 1440, height: 900 },
): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage({ viewport: size });
  const errors: string[] = [];
  page.on('pageerror', (e) => errors.push(String(e)));
  page.on('console', (m) => {
    // A server that was killed on purpose, and requests it refuses, are told on the page.
    if (m.type() === 'error' && !m.text().includes('Failed to load resource') && !m.text().includes('net::ERR'))
      errors.push(m.text());
  });
  page.on('request', (r) => {
    const own = new URL(link).origin;
    if (!r.url().startsWith(own) && !/^(data|blob|file):/.test(r.url())) errors.push(`a request to ${r.url()}`);
  });
  await page.goto(link);
  return { page, errors };
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds serious or critical on a page as it is. */
export async function serious(page: Page): Promise<string[]> {
  // The page's policy allows no script of others: axe comes through the debugger, which is exempt.
  await page.evaluate(axe);
  const found = (await page.evaluate('axe.run(document, { resultTypes: ["violations"] })')) as {
    violations: { id: string; impact: string; nodes: { html: string; failureSummary?: string }[] }[];
  };
  return found.violations
    .filter((x) => x.impact === 'serious' || x.impact === 'critical')
    .map((x) => `${x.id} ${x.nodes[0]?.html.slice(0, 160)} ${x.nodes[0]?.failureSummary}`);
}
