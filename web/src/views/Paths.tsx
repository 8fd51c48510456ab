// Completions as a table; a pattern groups them by answer.

import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { count, percent, visible } from '../lib/numbers';
import { type Answer, pathRows, type Sort, sorted } from '../lib/paths';
import type { Run } from '../lib/run';
import { mass, reason } from '../lib/words';
import * as store from '../state/store';
import { useCalmRevision } from './useCalmRevision';
import { useSearch } from './useSearch';
import { bringIntoSight, inSight, useWindow } from './useWindow';
import './lists.css';
import './paths.css';

const ROW = 28;
/** Tokens of a row's text: more does not fit. */
const SHOWN = 300;

const HEADS: [Sort, string][] = [
  ['prob', 'Probability'],
  ['perToken', 'Per token'],
  ['length', 'Tokens'],
  ['state', 'Ends'],
];

export function PathsView() {
  const run = store.runDocument.value?.run;
  const pattern = useSignal('');
  const by = useSignal<Sort>('prob');
  const rising = useSignal(false);
  const sight = useWindow();
  const cursor = useSignal(0);
  const revision = useCalmRevision();
  const all = useMemo(
    () => (run ? sorted(pathRows(run), by.value, rising.value) : []),
    [run, revision, by.value, rising.value],
  );
  const account = useMemo(() => run?.accounting(), [run, revision]);
  const { search, progress, wrong } = useSearch(run, pattern.value, all);
  const list = useMemo(
    () => (search && account ? search.answers(account.finished) : null),
    [search, account, progress],
  );
  if (!run || !account) return null;
  const shown = search ? search.rows : all;
  const tried = search && !search.done ? `, ${search.tried} of ${all.length} tried so far` : '';
  const [from, to] = inSight(sight, shown.length, ROW);
  const at = Math.min(cursor.value, shown.length - 1);
  const onKey = (e: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(sight.height.value / ROW) - 2);
    const last = shown.length - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: last }[
      e.key
    ];
    const row = shown[at];
    if (e.key === 'Enter' && row) store.select(row.leaf);
    else if (to !== undefined) {
      cursor.value = Math.max(0, Math.min(last, to));
      bringIntoSight(sight, cursor.value, ROW);
    } else return;
    e.preventDefault();
  };
  return (
    <div class="list paths">
      <div class="tools">
        <label>
          Pattern{' '}
          <input
            type="search"
            placeholder="regular expression, e.g. (Delhi|Mumbai)"
            size={34}
            value={pattern.value}
            onInput={(e) => (pattern.value = e.currentTarget.value)}
          />
        </label>
        <span role="status" class={wrong ? 'bad' : 'dim'}>
          {wrong || `${count(shown.length, 'path')}${tried}`}
        </span>
        {!search && (
          <span class="dim">
            finished {percent(account.finished)} · frontier {percent(account.frontier)} · pruned{' '}
            {percent(account.pruned)}
          </span>
        )}
      </div>
      {list && <Answers list={list} />}
      <div class="head">
        {HEADS.map(([key, name]) => (
          <button
            type="button"
            key={key}
            class={key === 'state' ? 'word' : 'num'}
            title={`Sort by ${name.toLowerCase()}`}
            onClick={() => {
              rising.value = by.value === key ? !rising.value : false;
              by.value = key;
            }}
          >
            {name}
            {by.value === key ? (rising.value ? ' ▴' : ' ▾') : ''}
          </button>
        ))}
        <span>Text</span>
      </div>
      <div
        class="scroll"
        ref={sight.box}
        role="listbox"
        aria-label="Paths"
        tabIndex={0}
        {...(at >= from && at < to ? { 'aria-activedescendant': `path-${at}` } : {})}
        onKeyDown={onKey}
      >
        <div role="presentation" style={{ height: `${shown.length * ROW}px` }} />
        {shown.slice(from, to).map((row, i) => (
          <div
            key={row.leaf}
            id={`path-${from + i}`}
            class={classOf(
              row.leaf === store.leaf.value && 'selected',
              from + i === at && 'cursor',
              run.isCut(row.leaf) && 'cut',
            )}
            style={{ top: `${(from + i) * ROW}px` }}
            role="option"
            tabIndex={-1}
            aria-selected={row.leaf === store.leaf.value}
            onClick={() => {
              cursor.value = from + i;
              store.select(row.leaf);
            }}
          >
            <span class="num">{mass(run, row.leaf)}</span>
            <span class="num">{percent(row.perToken)}</span>
            <span class="num">{row.length}</span>
            <span>{reason(run, row.leaf)}</span>
            <span class="what">{oneLine(beginning(run, row.leaf))}</span>
          </div>
        ))}
      </div>
    </div>
  );
}

/** Text of a path's first tokens: a path may be thousands of tokens long. */
function beginning(run: Run, leaf: number): string {
  if (run.depth.get(leaf) <= SHOWN) return run.pathText(leaf);
  const tokens = run.path(leaf).slice(0, SHOWN);
  return run.textOf(tokens.map((n) => run.token.get(n)));
}

const classOf = (...names: (string | false)[]): string => ['line', ...names].filter(Boolean).join(' ');

/** A row is one line. */
const oneLine = (text: string): string =>
  store.marks.value ? visible(text) : text.replace(/\n/g, '⏎').replace(/\t/g, '⇥').replace(/\r/g, '␍');

function Answers({ list }: { list: Answer[] }) {
  if (list.length === 0) return <p class="answers dim">No finished path has an answer yet.</p>;
  return (
    <table class="answers">
      <caption class="dim">
        At least: finished paths with this answer. At most: with all that is not finished.
        {list.length > 20 && ` The 20 likeliest of ${list.length} answers.`}
      </caption>
      <thead>
        <tr>
          <th>Answer</th>
          <th>at least</th>
          <th>at most</th>
          <th>paths</th>
        </tr>
      </thead>
      <tbody>
        {list.slice(0, 20).map((a) => (
          <tr key={a.text}>
            <td>{a.text}</td>
            <td>{percent(a.lower)}</td>
            <td>{percent(a.upper)}</td>
            <td>{a.paths}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
