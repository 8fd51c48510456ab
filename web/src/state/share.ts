// What is taken along: pictures and links.

import { signal } from '@preact/signals';
import { colourAt, inkOn } from '../lib/colours';
import { level, metricOf } from '../lib/metrics';
import { count } from '../lib/numbers';
import { pieces } from '../lib/pieces';
import { ROOT, type Run } from '../lib/run';
import { type Span, textSvg } from '../lib/svg';
import { harmless } from '../lib/visible';
import { chance, massBits } from '../lib/words';
import * as api from './api';
import { scheme } from './prefs';
import { leaf, marks, metric, path, view } from './store';
import { say } from './toasts';
import { send } from './transport';

export function copyText(text: string, done = 'Copied.'): void {
  const failed = () => say('The browser does not allow copying here.', 'bad');
  navigator.clipboard?.writeText(text).then(() => say(done), failed) ?? failed();
}

export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** The run as a page of its own, which opens at the place that is looked at now. */
export async function saveReport(id: string): Promise<void> {
  const place = new URLSearchParams(location.hash.slice(1));
  place.delete('run');
  // Only letters, digits and `%&=+-_.*` are in an address of this kind: none of them ends an attribute.
  const meta = `<meta name="place" content="${String(place).replaceAll('&', '&amp;')}">`;
  const html = (await api.report(id)).replace('<head>', `<head>\n${meta}`);
  save(new Blob([html], { type: 'text/html' }), `${id}.html`);
}

/** Fetches a file of the server and saves it under the server's name for it. */
export async function saveFrom(path: string): Promise<void> {
  const answer = await send(path);
  if (!answer.ok) throw new Error(((await answer.json()) as { detail: string }).detail);
  const name = /filename="(.+?)"/.exec(answer.headers.get('content-disposition') ?? '')?.[1];
  save(await answer.blob(), name ?? 'run');
}

/** The path as it is coloured now. */
export function saveTextPicture(run: Run): void {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const prompt: Span = { text: harmless(run.header.prompt.text), fill: null, ink: colour('dim'), title: '' };
  const tokens = pieces(run, path.peek(), marks.peek()).map(({ node, text }): Span => {
    const t = level(metric.peek(), metricOf(run, node, metric.peek()));
    return { text, fill: colourAt(t, scheme.peek()), ink: inkOn(t, scheme.peek()), title: chance(run, node) };
  });
  const { model } = run.header;
  const foot = `${model.name} · ${count(path.peek().length, 'token')}, ${massBits(run, leaf.peek() || ROOT)} · colour: ${metric.peek()} · logitree`;
  const svg = textSvg([prompt, ...tokens], { ground: colour('bg'), foot: { text: foot, ink: colour('dim') } });
  save(new Blob([svg], { type: 'image/svg+xml' }), 'text.svg');
}

/** Draws the tree that is shown; null while none is. */
export const treePicture = signal<(() => { svg: string; whole: boolean }) | null>(null);

/** The tree that is shown, for papers and slides. */
export function saveTreePicture(): void {
  const made = treePicture.peek()?.();
  if (!made) return;
  if (!made.whole) say('The tree is too large for one picture: it has what the window shows.');
  save(new Blob([made.svg], { type: 'image/svg+xml' }), 'tree.svg');
}

/** The canvas that is shown, as it is. */
export function savePicture(): void {
  const canvas = document.querySelector<HTMLCanvasElement>('.view canvas.canvas');
  canvas?.toBlob((blob) => {
    if (blob) save(blob, `${view.peek()}.png`);
    else say('The browser cannot make a picture of this.', 'bad');
  });
}
