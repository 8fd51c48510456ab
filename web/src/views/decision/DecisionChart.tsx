// The curves of the answers: each a band between the least and the greatest probability after so many tokens.

import { useMemo } from 'preact/hooks';
import { indexAt, linePath, type Step, ticks } from '../../lib/curves';
import { bandPath, boundsOf, type Class, series } from '../../lib/decision';
import { percent } from '../../lib/numbers';
import type { Run } from '../../lib/run';
import { visible } from '../../lib/visible';
import type { Curve } from '../../state/decision';
import { hovered, selected } from '../../state/store';
import { Chart, Cross, plotOf } from '../curves/Chart';

const HEIGHT = 240;

interface Props {
  run: Run;
  found: Curve;
  classes: readonly Class[];
  names: readonly string[];
  width: number;
  /** Called with a number of tokens. */
  onPick: (tokens: number) => void;
  onStep: (to: Step) => void;
}

/** The look of a class's curve: giving none has one of its own. */
const styleOf = (of: Class, i: number): string => (of === null ? 'answer-none' : `answer-${i}`);

export function DecisionChart({ run, found, classes, names, width, onPick, onStep }: Props) {
  const { nodes, points, decided } = found;
  const n = nodes.length;
  const plot = plotOf(width, HEIGHT);
  const place = (t: number) => (n === 0 ? 0.5 : t / n);
  const x = (t: number) => place(t) * plot.width;
  const y = (p: number) => plot.height * (1 - p);
  const drawn = useMemo(
    () =>
      classes.map((c) => {
        const { lower, upper } = series(points, n, c);
        return { band: bandPath(lower, upper, x, y), line: linePath(lower, x, y), top: linePath(upper, x, y) };
      }),
    [points, classes.join('\n'), n, plot.width, plot.height],
  );
  const over = hovered.value > 0 ? hovered.value : selected.value;
  const t = over === 0 ? 0 : nodes.indexOf(over) + 1;
  const p = points.get(t);
  const token = t === 0 ? 'after the prompt' : `after ${t}, “${visible(run.nodeText(nodes[t - 1]!))}”`;
  const says = p
    ? classes.map((c, i) => {
        const { lower, upper } = boundsOf(p, c);
        return `${names[i]} ${percent(lower)} to ${percent(Math.min(1, upper))}`;
      })
    : ['not known yet'];
  return (
    <Chart
      title="Probability of each answer, given the tokens so far"
      width={width}
      height={HEIGHT}
      x={{
        label: 'tokens of the path so far (0: the prompt alone)',
        ticks: ticks(0, n, plot.width / 60, true).map((k) => ({ at: place(k), text: k.toLocaleString('en') })),
      }}
      y={{ label: 'probability', ticks: [0, 0.25, 0.5, 0.75, 1].map((v) => ({ at: v, text: `${v * 100} %` })) }}
      legend={classes.map((c, i) => ({ text: names[i]!, line: `curves-answer ${styleOf(c, i)}` }))}
      readout={[token, ...says].join(' · ')}
      onHover={(at) => (hovered.value = at === null ? -1 : (nodes[indexAt(at, n + 1) - 1] ?? -1))}
      onPick={(at) => onPick(indexAt(at, n + 1))}
      onStep={onStep}
    >
      {drawn.map((d, i) => (
        <g key={i} class={styleOf(classes[i]!, i)}>
          <path class="answer-band" d={d.band} />
          <path class="curves-answer-edge" d={d.top} />
          <path class={`curves-answer ${styleOf(classes[i]!, i)}`} d={d.line} />
        </g>
      ))}
      {decided && (
        <g class="decided-mark">
          <path d={`M${x(decided.tokens).toFixed(1)} 0V${plot.height}`} />
          <text
            x={x(decided.tokens) + (place(decided.tokens) > 0.8 ? -6 : 6)}
            y="12"
            text-anchor={place(decided.tokens) > 0.8 ? 'end' : 'start'}
          >
            decided
          </text>
        </g>
      )}
      {t >= 0 && t <= n && (
        <Cross plot={plot} at={place(t)} dots={[]} kind={hovered.value > 0 ? 'hovered' : 'selected'} />
      )}
    </Chart>
  );
}
