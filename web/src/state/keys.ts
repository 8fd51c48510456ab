// Keys that work everywhere on the page. What a view does with a key comes first: it keeps the event to itself.

import { signal } from '@preact/signals';
import { NONE, ROOT } from '../lib/run';
import { percent } from '../lib/numbers';
import { visible } from '../lib/visible';
import { canGoOn, choose, server } from './live';
import { showRuns, showStep } from './prefs';
import { announce } from './spoken';
import {
  byHand,
  leaf,
  lookAfter,
  maximised,
  page,
  redo,
  runDocument,
  select,
  selected,
  undo,
  VIEWS,
  view,
} from './store';

/** Whether the list of keys is shown. */
export const help = signal(false);
/** Whether the alternatives are open over the page, where they have no place beside it. */
export const sheet = signal(false);
/** Grows when the list of alternatives, or the selected token, is to have the focus. */
export const focusList = signal(0);
export const focusToken = signal(0);

/** The keys, as they are told: what to press and what it does. */
export const KEYS: [string, [string, string][]][] = [
  [
    'Everywhere',
    [
      ['1 … 9', 'the views: Outline, Tree, Ribbon, Curves, Paths, Answers, Compare, Layers, Decision'],
      ['m', 'the view in the whole window, and back'],
      ['b', 'list of runs'],
      ['i', 'alternatives beside the view'],
      ['n', 'new run'],
      ['/', 'find a token, or write one'],
      ['Ctrl+Z, Ctrl+Y', 'back to the path before, and forward again'],
      ['Alt+←, Alt+→', 'back and forward through views, tokens and runs'],
      ['w', 'write by hand: one token at a time'],
      ['Esc', 'closes what is open'],
      ['?', 'this list'],
    ],
  ],
  [
    'Text',
    [
      ['← →', 'the token before, the token after'],
      ['Home, End', 'the first token, the last'],
      ['Enter', 'to its alternatives; ↑ ↓ and Enter choose one'],
    ],
  ],
  [
    'Writing by hand',
    [
      ['→', 'takes the most likely next token'],
      ['1 … 9', 'takes that token of the list'],
      ['←', 'goes one token back'],
    ],
  ],
  [
    'Tree',
    [
      ['arrows', 'the box before, after, above, below; with Shift they move the picture'],
      ['Enter', 'takes the path'],
      ['Space', 'opens or closes a box'],
      ['+ − 0', 'larger, smaller, all of it'],
    ],
  ],
  [
    'Ribbon',
    [
      ['arrows', 'the box before, after, above, below'],
      ['Enter, Esc', 'into the selected box, and out again'],
      ['+ − 0', 'longer, shorter, natural length'],
    ],
  ],
  ['Outline', [['← →', 'closes and opens a row']]],
];

const isField = (e: EventTarget | null): boolean =>
  e instanceof HTMLElement &&
  (e.matches('input:not([type="range"], [type="checkbox"]), textarea, select') || e.isContentEditable);

/** While the user writes by hand, its keys come before those of any view: heard on their way down. */
export function onHandKeys(e: KeyboardEvent): void {
  if (!byHand.value || page.value !== 'run' || isField(e.target) || e.ctrlKey || e.metaKey || e.altKey) return;
  if (!writeKey(e.key)) return;
  e.preventDefault();
  e.stopPropagation();
}

export function onKeys(e: KeyboardEvent): void {
  if (e.defaultPrevented) return;
  if (e.key === 'Escape') {
    if (help.value) help.value = false;
    else if (sheet.value) sheet.value = false;
    else if (byHand.value) byHand.value = false;
    else if (maximised.value) maximised.value = false;
    else return;
    e.preventDefault();
    return;
  }
  if (isField(e.target)) return;
  const onRun = page.value === 'run' && runDocument.value !== null;
  const key = e.key.toLowerCase();
  if ((e.ctrlKey || e.metaKey) && !e.altKey && onRun) {
    if (key === 'z' && !e.shiftKey) undo();
    else if (key === 'y' || (key === 'z' && e.shiftKey)) redo();
    else return;
    e.preventDefault();
    return;
  }
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const number = /^[1-9]$/.test(e.key) ? VIEWS[Number(e.key) - 1] : undefined;
  if (onRun && number) view.value = number;
  else if (e.key === '?') help.value = !help.value;
  else if (key === 'b') showRuns.value = !showRuns.value;
  else if (key === 'n' && server.value?.model) page.value = 'start';
  else if (onRun && key === 'm') maximised.value = !maximised.value;
  else if (onRun && key === 'i') showStep.value = !showStep.value;
  else if (onRun && key === 'w') startByHand();
  else if (onRun && e.key === '/') openList();
  else return;
  e.preventDefault();
}

/** Shows the alternatives of the selected token, wherever they are, with the focus on them. */
export function openList(): void {
  if (!showStep.value || maximised.value || matchMedia('(max-width: 760px)').matches) sheet.value = true;
  focusList.value++;
}

export function startByHand(): void {
  byHand.value = !byHand.value;
  if (!byHand.value) {
    lookAfter.value = false;
    return;
  }
  showStep.value = true;
  lookAfter.value = true;
  if (selected.value === ROOT && leaf.value !== ROOT) announce('Writing by hand, from the prompt on.');
}

/** Takes the token with a number of the list after the selected one, from 0 on. */
export function takeNext(i: number): void {
  const run = runDocument.value?.run;
  if (!run) return;
  const at = selected.value;
  const token = run.listed(at)[i];
  if (!token) {
    announce(canGoOn() ? 'Wait: the model has not come so far yet.' : 'The run ends here.');
    return;
  }
  if (token.node === NONE && !canGoOn()) {
    announce('This token is not in the file.');
    return;
  }
  announce(`${visible(run.text(token.id))}, ${percent(Math.exp(token.logprob))}`);
  // One step is enough to see what comes next.
  choose(at, token.id, 1);
}

/** Whether a key meant something while the user writes by hand. */
function writeKey(key: string): boolean {
  const run = runDocument.value?.run;
  if (!run) return false;
  if (key === 'ArrowRight') takeNext(0);
  else if (/^[1-9]$/.test(key)) takeNext(Number(key) - 1);
  else if (key === 'ArrowLeft') select(Math.max(ROOT, run.parent.get(selected.value)));
  else return false;
  lookAfter.value = true;
  return true;
}
