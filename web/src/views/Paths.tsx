// Completions as a table; a pattern groups them by answer.

import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { count, percent, visible } from '../lib/numbers';
import { type Answer, answerIn, answers, pathRows, type Sort, sorted } from '../lib/paths';
import { reason } from '../lib/words';
import * as store from '../state/store';
import { inSight, useWindow } from './useWindow';
import './lists.css';

const ROW = 28;
/** Paths a pattern is tried on: the rest is said to be left out. */
const TRIED = 20_000;

const HEADS: [Sort, string][] = [
  ['prob', 'Probability'],
  ['perToken', 'Per token'],
  ['length', 'Tokens'],
];

export function PathsView() {
  const run = store.runDocument.value?.run;
  const pattern = useSignal('');
  const by = useSignal<Sort>('prob');
  const rising = useSignal(false);
  const sight = useWindow();
  const all = useMemo(
    () => (run ? sorted(pathRows(run), by.value, rising.value) : []),
    [run, store.revision.value, by.value, rising.value],
  );
  const found = useMemo(() => {
    if (!run || pattern.value === '') return null;
    let compiled: RegExp;
    try {
      compiled = new RegExp(pattern.value, 'u');
    } catch (e) {
      return { error: (e as Error).message };
    }
    const tried = all.slice(0, TRIED).map((row) => ({ row, answer: answerIn(compiled, run.pathText(row.leaf)) }));
    return {
      rows: tried.filter((t) => t.answer !== null).map((t) => t.row),
      answers: answers(tried, run.accounting().finished),
    };
  }, [all, pattern.value]);
  if (!run) return null;
  const shown = found?.rows ?? all;
  const [from, to] = inSight(sight, shown.length, ROW);
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
        <span role="status" class={found?.error ? 'bad' : 'dim'}>
          {found?.error ??
            `${count(shown.length, 'path')}${all.length > TRIED && found ? `, the first ${TRIED} tried` : ''}`}
        </span>
      </div>
      {found?.answers && <Answers list={found.answers} />}
      <div class="head">
        {HEADS.map(([key, name]) => (
          <button
            type="button"
            key={key}
            class="num"
            onClick={() => {
              rising.value = by.value === key ? !rising.value : false;
              by.value = key;
            }}
          >
            {name}
            {by.value === key ? (rising.value ? ' ▴' : ' ▾') : ''}
          </button>
        ))}
        <span>Ends</span>
        <span>Text</span>
      </div>
      <div class="scroll" ref={sight.box} role="listbox" aria-label="Paths" tabIndex={0}>
        <div role="presentation" style={{ height: `${shown.length * ROW}px` }} />
        {shown.slice(from, to).map((row, i) => (
          <div
            key={row.leaf}
            class={row.leaf === store.leaf.value ? 'line selected' : 'line'}
            style={{ top: `${(from + i) * ROW}px` }}
            role="option"
            aria-selected={row.leaf === store.leaf.value}
            tabIndex={0}
            onClick={() => store.reroute(row.leaf)}
            onKeyDown={(e) => e.key === 'Enter' && store.reroute(row.leaf)}
          >
            <span class="num">{percent(row.prob)}</span>
            <span class="num">{percent(row.perToken)}</span>
            <span class="num">{row.length}</span>
            <span>{reason(run, row.leaf)}</span>
            <span class="what">{visible(run.pathText(row.leaf).slice(0, 300)).replaceAll('·', ' ')}</span>
          </div>
        ))}
      </div>
    </div>
  );
}

function Answers({ list }: { list: Answer[] }) {
  if (list.length === 0) return <p class="answers dim">No finished path has an answer yet.</p>;
  return (
    <table class="answers">
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
