// The responses of a file side by side: by their numbers, in any order.

import { useMemo, useState } from 'preact/hooks';
import { count, fixed } from '../../lib/numbers';
import type { Card } from '../../lib/records';
import { inSight, useWindow } from '../useWindow';
import { type Compared, compare, type Measure, ordered } from './numbers';

const ROW = 26;
/** Rows that are in sight at once. */
const SHOWN = 8;

const MEASURES: [Measure, name: string, text: (x: number) => string][] = [
  ['line', 'Line', String],
  ['tokens', 'Tokens', (x) => x.toLocaleString('en')],
  ['bits', 'Bits', (x) => fixed(x, 1)],
  ['perplexity', 'Perplexity', (x) => fixed(x, 2)],
  ['entropy', 'Mean entropy, bits', (x) => `≥ ${fixed(x, 2)}`],
];

interface Props {
  cards: Card[];
  onGo: (line: number) => void;
}

export function Comparison({ cards, onGo }: Props) {
  const all = useMemo(() => compare(cards), [cards]);
  return all.length < 2 ? null : <Table all={all} onGo={onGo} />;
}

function Table({ all, onGo }: { all: Compared[]; onGo: (line: number) => void }) {
  const [by, setBy] = useState<Measure>('line');
  const [rising, setRising] = useState(true);
  const sight = useWindow();
  const rows = useMemo(() => ordered(all, by, rising), [all, by, rising]);
  const most = useMemo(
    () => MEASURES.map(([key]) => all.reduce((greatest, r) => Math.max(greatest, r[key]), 0)),
    [all],
  );
  const [from, to] = inSight(sight, rows.length, ROW);
  return (
    <details class="comparison" open>
      <summary>Comparison of {count(all.length, 'response')}</summary>
      <div role="table" aria-label="Comparison of the responses" aria-rowcount={all.length + 1}>
        <div role="row" class="comparison-row comparison-head">
          {MEASURES.map(([key, name]) => (
            <span key={key} role="columnheader" aria-sort={by === key ? (rising ? 'ascending' : 'descending') : 'none'}>
              <button
                type="button"
                onClick={() => {
                  // What is greatest is looked for first.
                  setRising(by === key ? !rising : key === 'line');
                  setBy(key);
                }}
              >
                {name}
                {by === key ? (rising ? ' ▴' : ' ▾') : ''}
              </button>
            </span>
          ))}
          <span role="columnheader">Prompt</span>
        </div>
        <div
          class="comparison-rows"
          role="rowgroup"
          ref={sight.box}
          style={{ height: `${Math.min(rows.length, SHOWN) * ROW}px` }}
        >
          <div role="presentation" style={{ height: `${rows.length * ROW}px` }} />
          {rows.slice(from, to).map((r, i) => (
            <div
              key={r.line}
              role="row"
              aria-rowindex={from + i + 2}
              class="comparison-row"
              style={{ top: `${(from + i) * ROW}px` }}
            >
              {MEASURES.map(([key, , text], k) => (
                <span key={key} role="cell">
                  {key === 'line' ? (
                    <button type="button" onClick={() => onGo(r.line)}>
                      Line {r.line}
                    </button>
                  ) : (
                    <>
                      {text(r[key])}
                      <span class="comparison-bar" style={{ width: `${(100 * r[key]) / most[k]!}%` }} />
                    </>
                  )}
                </span>
              ))}
              <span role="cell">{r.prompt}</span>
            </div>
          ))}
        </div>
      </div>
    </details>
  );
}
