// How far the two are apart over the whole vocabulary: KL and Jensen-Shannon at each token, where both are of the loaded model.

import { useWidth } from '../useWidth';
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { greatest, indexAt, linePath, neighbour, type Step, ticks } from '../../lib/curves';
import { type Divergence, type DivergenceStep, divergencesOf, summary } from '../../lib/divergence';
import { bits } from '../../lib/numbers';
import { NONE, type Run } from '../../lib/run';
import { visible } from '../../lib/visible';
import * as api from '../../state/api';
import { lackingToCompare } from '../../state/need';
import { hovered, lookAfter, type RunDocument, select, selected } from '../../state/store';
import { follow } from '../../state/tasks';
import { Chart, Cross, plotOf } from '../curves/Chart';
import '../curves.css';

interface Props {
  a: RunDocument;
  b: RunDocument;
  /** The path of A. */
  nodes: readonly number[];
}

const HEIGHT = 170;

export function Whole({ a, b, nodes }: Props) {
  const words = useSignal<string | null>(null);
  const wrong = useSignal('');
  const found = useSignal<Divergence[] | null>(null);
  const end = useRef(() => {});
  useEffect(() => () => end.current(), []);
  const missing = lackingToCompare(a, b);
  if (missing !== null) return <p class="dim whole">Over the whole vocabulary: {missing}</p>;
  const stop = () => {
    end.current();
    words.value = null;
  };
  const look = () => {
    wrong.value = '';
    words.value = 'waiting for the model to have a moment';
    end.current = follow(api.comparisonOf(a.live!.id, nodes.at(-1)!, b.live!.id), {
      progress: (said: string) => (words.value = said),
      end: ({ steps }: { steps: DivergenceStep[] }) => {
        words.value = null;
        found.value = divergencesOf(steps);
      },
      failed: (why) => {
        words.value = null;
        wrong.value = why;
      },
    });
  };
  return (
    <section class="whole" aria-label="Over the whole vocabulary">
      {words.value !== null ? (
        <p role="status" class="dim">
          {words.value}…{' '}
          <button type="button" class="small" onClick={stop}>
            Stop
          </button>
        </p>
      ) : (
        !found.value && (
          <p>
            <button type="button" disabled={nodes.length === 0} onClick={look}>
              Compare over the whole vocabulary
            </button>{' '}
            <span class="dim">
              KL and Jensen-Shannon divergence at each token: the model reads the path after both prompts.
            </span>
          </p>
        )
      )}
      {wrong.value && (
        <p class="bad" role="alert">
          {wrong.value}
        </p>
      )}
      {found.value && <Found run={a.run} nodes={nodes} all={found.value} />}
    </section>
  );
}

function go(node: number | undefined): void {
  if (node === undefined) return;
  select(node);
  lookAfter.value = false;
}

function Found({ run, nodes, all }: { run: Run; nodes: readonly number[]; all: Divergence[] }) {
  const sum = summary(all);
  if (!sum) return null;
  const { mean } = sum;
  const node = nodes[sum.furthest];
  return (
    <>
      <p role="status">
        On average a token: KL(A‖B) {bits(mean.klAB)}, KL(B‖A) {bits(mean.klBA)}, Jensen-Shannon {bits(mean.js)} of at
        most 1.
        {node !== undefined && (
          <>
            {' '}
            Furthest apart in what could stand instead of{' '}
            <button type="button" class="small" onClick={() => go(node)}>
              {visible(run.nodeText(node)) || '∅'}
            </button>
            : {bits(all[sum.furthest]!.js)}.
          </>
        )}
      </p>
      <Curves run={run} nodes={nodes} all={all} />
    </>
  );
}

function Curves({ run, nodes, all }: { run: Run; nodes: readonly number[]; all: Divergence[] }) {
  const [box, width] = useWidth();
  const w = Math.max(240, width.value);
  const plot = plotOf(w, HEIGHT);
  const n = all.length;
  const kl = all.map((d) => d.klAB);
  const js = all.map((d) => d.js);
  const most = greatest(kl, 1) * 1.05;
  const place = (i: number) => (n === 1 ? 0.5 : i / (n - 1));
  const y = (v: number) => plot.height * (1 - v / most);
  const over = hovered.value > 0 ? hovered.value : selected.value;
  const i = nodes.indexOf(over);
  const d = all[i];
  const onStep = (to: Step) => {
    const to_ = neighbour(run, nodes, selected.peek(), to);
    if (to_ !== NONE) select(to_);
  };
  return (
    <div ref={box}>
      {width.value > 0 && (
        <Chart
          title="How far apart A and B are"
          width={w}
          height={HEIGHT}
          x={{
            label: 'token of the path',
            ticks: ticks(1, n, plot.width / 60, true)
              .filter((t) => t >= 1)
              .map((t) => ({ at: place(t - 1), text: t.toLocaleString('en') })),
          }}
          y={{ label: 'bits', ticks: ticks(0, most, 4).map((t) => ({ at: t / most, text: String(t) })) }}
          legend={[
            { text: 'KL(A‖B): what is lost where B stands in for A', line: 'curves-one' },
            { text: 'Jensen-Shannon, at most 1', line: 'curves-two' },
          ]}
          readout={
            d
              ? `${i + 1} “${visible(run.nodeText(nodes[i]!))}” · KL(A‖B) ${bits(d.klAB)} · KL(B‖A) ${bits(d.klBA)} · Jensen-Shannon ${bits(d.js)}`
              : 'Point at the chart, or choose a token.'
          }
          onHover={(at) => (hovered.value = at === null ? NONE : (nodes[indexAt(at, n)] ?? NONE))}
          onPick={(at) => go(nodes[indexAt(at, n)])}
          onStep={onStep}
        >
          <path class="curves-two" d={linePath(js, (k) => place(k) * plot.width, y)} />
          <path class="curves-one" d={linePath(kl, (k) => place(k) * plot.width, y)} />
          {d && (
            <Cross
              plot={plot}
              at={place(i)}
              dots={[d.klAB / most, d.js / most]}
              kind={hovered.value > 0 ? 'hovered' : 'selected'}
            />
          )}
        </Chart>
      )}
    </div>
  );
}
