// Surprisal, entropy and rank of the tokens of the path.

import { useMemo } from 'preact/hooks';
import { greatest, indexAt, linePath, logTicks, type PathSeries, pathSeries, ticks, type Step } from '../../lib/curves';
import { NONE, type Run } from '../../lib/run';
import { PLAIN } from '../../lib/sampler';
import { hovered, sampler, select, selected } from '../../state/store';
import { type Axis, Chart, Cross, type Plot, plotOf } from './Chart';
import { tokenLine } from './words';

const HEIGHT = 190;

interface Props {
  run: Run;
  nodes: readonly number[];
  width: number;
  onStep: (to: Step) => void;
}

/** Place of a token along the axis: a lone one stands in the middle. */
const placeOf = (i: number, n: number): number => (n === 1 ? 0.5 : i / (n - 1));

function tokenAxis(n: number, width: number): Axis {
  const all = n === 1 ? [1] : ticks(1, n, width / 70, true);
  // The first token is 1, and round numbers are multiples of the step: 0 is none of them.
  return {
    label: 'token of the path',
    ticks: all.filter((t) => t >= 1).map((t) => ({ at: placeOf(t - 1, n), text: t.toLocaleString('en') })),
  };
}

export function PathCharts({ run, nodes, width, onStep }: Props) {
  const series = useMemo(() => pathSeries(run, nodes), [run, nodes, sampler.value]);
  const n = nodes.length;
  const plot = plotOf(width, HEIGHT);
  const drawn = useMemo(() => {
    const most = greatest(series.entropy, greatest(series.surprisal, 1)) * 1.05;
    const powers = logTicks(greatest(series.rank, 1));
    const decades = Math.log10(powers.at(-1)!);
    const x = (i: number) => placeOf(i, n) * plot.width;
    const inBits = (v: number) => v / most;
    const ofRank = (v: number) => Math.log10(v) / decades;
    const y = (scale: (v: number) => number) => (v: number) => plot.height * (1 - scale(v));
    return {
      x: tokenAxis(n, plot.width),
      bits: { label: 'bits', ticks: ticks(0, most, 5).map((t) => ({ at: t / most, text: String(t) })) },
      ranks: { label: 'rank', ticks: powers.map((t) => ({ at: ofRank(t), text: t.toLocaleString('en') })) },
      surprisal: linePath(series.surprisal, x, y(inBits)),
      entropy: linePath(series.entropy, x, y(inBits)),
      rank: linePath(series.rank, x, y(ofRank)),
      inBits,
      ofRank,
    };
  }, [series, n, plot.width, plot.height]);

  const shared = {
    width,
    height: HEIGHT,
    x: drawn.x,
    readout: <Readout run={run} />,
    onHover: (at: number | null) => {
      hovered.value = at === null ? NONE : (nodes[indexAt(at, n)] ?? NONE);
    },
    onPick: (at: number) => select(nodes[indexAt(at, n)] ?? NONE),
    onStep,
  };
  const dots = (i: number) => [drawn.inBits(series.surprisal[i]!), drawn.inBits(series.entropy[i]!)];
  return (
    <>
      <Chart
        {...shared}
        title="Surprisal and entropy"
        y={drawn.bits}
        legend={[
          { text: 'surprisal of the token', line: 'curves-one' },
          {
            text: `entropy before the choice${sampler.value === PLAIN ? '' : ', as the model has it'}`,
            line: 'curves-two',
          },
        ]}
      >
        <path class="curves-two" d={drawn.entropy} />
        <path class="curves-one" d={drawn.surprisal} />
        <Marks run={run} series={series} plot={plot} dots={dots} />
      </Chart>
      <Chart
        {...shared}
        title="Rank"
        y={drawn.ranks}
        legend={[{ text: 'rank of the token (1 is the most likely; a gap: not on the list)', line: 'curves-one' }]}
      >
        <path class="curves-one" d={drawn.rank} />
        <Marks run={run} series={series} plot={plot} dots={(i) => [drawn.ofRank(series.rank[i]!)]} />
      </Chart>
    </>
  );
}

function Readout({ run }: { run: Run }) {
  const n = hovered.value !== NONE ? hovered.value : selected.value;
  return <>{tokenLine(run, Math.min(n, run.size - 1))}</>;
}

interface MarksProps {
  run: Run;
  series: PathSeries;
  plot: Plot;
  dots: (i: number) => number[];
}

/** The only part of a chart that follows the pointer. */
function Marks({ run, series, plot, dots }: MarksProps) {
  const { nodes } = series;
  const mark = (n: number, kind: 'selected' | 'hovered') => {
    const i = n > 0 && n < run.size ? run.depth.get(n) - 1 : -1;
    if (nodes[i] !== n) return null;
    return <Cross plot={plot} at={placeOf(i, nodes.length)} dots={dots(i)} kind={kind} />;
  };
  return (
    <>
      {mark(selected.value, 'selected')}
      {mark(hovered.value, 'hovered')}
    </>
  );
}
