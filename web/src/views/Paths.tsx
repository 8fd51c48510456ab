// Completions as a table; a pattern groups them by answer.

import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { bare, count, percent } from '../lib/numbers';
import { BITS } from '../lib/metrics';
import { pathRows, type Sort, sorted } from '../lib/paths';
import type { Run } from '../lib/run';
import { oneLine } from '../lib/visible';
import { mass, reason } from '../lib/words';
import * as store from '../state/store';
import { useCalmRevision } from './useCalmRevision';
import { useSearch } from './useSearch';
import { ViewBar } from './ViewBar';
import { bringIntoSight, inSight, useWindow } from './useWindow';
import './lists.css';
import './paths.css';

const ROW = 28;
/** Tokens of a row's text: more does not fit. */
const SHOWN = 300;

const HEADS: [Sort, string, string][] = [
  ['perToken', 'Per token', 'Mean probability of its tokens (geometric)'],
  ['prob', 'Path', 'Probability of the whole path'],
  ['length', 'Tokens', 'Length after the prompt'],
  ['state', 'Then', 'Why the path goes no further'],
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
  const { search, progress, wrong } = useSearch(run, pattern.value, all);
  if (!run) return null;
  progress;
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
    <>
      <ViewBar>
        <label class="group">
          Pattern{' '}
          <input
            type="search"
            placeholder="regular expression"
            size={22}
            value={pattern.value}
            onInput={(e) => (pattern.value = e.currentTarget.value)}
          />
        </label>
        <span role="status" class={wrong ? 'bad' : 'dim'}>
          {wrong || `${count(shown.length, 'path')}${tried}`}
        </span>
      </ViewBar>
      <div class="view list paths" id="view" role="tabpanel" aria-labelledby="tab-paths">
        <div
          class="grid"
          role="grid"
          aria-label="Paths"
          aria-rowcount={shown.length + 1}
          aria-colcount={6}
          tabIndex={0}
          {...(at >= from && at < to ? { 'aria-activedescendant': `path-${at}` } : {})}
          onKeyDown={onKey}
        >
          <div class="head" role="row" aria-rowindex={1}>
            {HEADS.map(([key, name, what]) => (
              <span
                key={key}
                role="columnheader"
                class={key === 'state' ? 'word' : 'num'}
                aria-sort={by.value === key ? (rising.value ? 'ascending' : 'descending') : 'none'}
              >
                <button
                  type="button"
                  title={`${what}. Sorts by it.`}
                  onClick={() => {
                    rising.value = by.value === key ? !rising.value : false;
                    by.value = key;
                  }}
                >
                  {name}
                  {by.value === key ? (rising.value ? ' ▴' : ' ▾') : ''}
                </button>
              </span>
            ))}
            <span role="columnheader" class="num" title="Surprisal of the whole path">
              Bits
            </span>
            <span role="columnheader">Text</span>
          </div>
          <div class="scroll" ref={sight.box} role="rowgroup">
            <div role="presentation" style={{ height: `${shown.length * ROW}px` }} />
            {shown.length === 0 && (
              <p class="empty">{pattern.value ? 'No path has this in its text.' : 'No path has been looked at yet.'}</p>
            )}
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
                role="row"
                tabIndex={-1}
                aria-rowindex={from + i + 2}
                aria-selected={row.leaf === store.leaf.value}
                onClick={() => {
                  cursor.value = from + i;
                  store.select(row.leaf);
                }}
              >
                <span role="gridcell" class="num">
                  {percent(row.perToken)}
                </span>
                <span role="gridcell" class="num">
                  {mass(run, row.leaf)}
                </span>
                <span role="gridcell" class="num">
                  {row.length}
                  {run.samples.get(row.leaf) > 0 && ` · ${run.samples.get(row.leaf)}×`}
                </span>
                <span role="gridcell">{reason(run, row.leaf)}</span>
                <span role="gridcell" class="num">
                  {bare(-run.pathLogprobOf(row.leaf) * BITS)}
                </span>
                <span role="gridcell" class="what">
                  <bdi>{oneLine(beginning(run, row.leaf), store.marks.value)}</bdi>
                </span>
              </div>
            ))}
          </div>
        </div>
      </div>
    </>
  );
}

/** Text of a path's first tokens: a path may be thousands of tokens long. */
function beginning(run: Run, leaf: number): string {
  if (run.depth.get(leaf) <= SHOWN) return run.pathText(leaf);
  const tokens = run.path(leaf).slice(0, SHOWN);
  return run.textOf(tokens.map((n) => run.token.get(n)));
}

const classOf = (...names: (string | false)[]): string => ['line', ...names].filter(Boolean).join(' ');
