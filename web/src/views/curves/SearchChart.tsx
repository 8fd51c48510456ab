// The threshold and the open paths while the strategy went on.

import { useMemo } from 'preact/hooks';
import { greatest, indexAt, indexOfNode, linePath, type SearchSeries, ticks, type Step } from '../../lib/curves';
import { count, percent } from '../../lib/numbers';
import { NONE, type Run } from '../../lib/run';
import { hovered, select, selected } from '../../state/store';
import { Chart, Cross, type Plot, plotOf } from './Chart';
import { tokenName } from './words';

const HEIGHT = 190;

interface Props {
  run: Run;
  series: SearchSeries;
  width: number;
  onStep: (to: Step) => void;
}

export function SearchChart({ run, series, width, onStep }: Props) {
  const n = series.nodes.length;
  const plot = plotOf(width, HEIGHT);
  const drawn = useMemo(() => {
    const mostT = greatest(series.threshold, 1e-6) * 1.05;
    const mostQ = greatest(series.queue, 1) * 1.05;
    const x = (i: number) => placeOf(i, n) * plot.width;
    const xs = n === 1 ? [1] : ticks(1, n, plot.width / 70, true).filter((t) => t >= 1);
    return {
      mostT,
      mostQ,
      x: {
        label: 'order in which nodes were looked at',
        ticks: xs.map((t) => ({ at: placeOf(t - 1, n), text: t.toLocaleString('en') })),
      },
      y: {
        label: 'threshold',
        ticks: ticks(0, mostT, 5).map((t) => ({ at: t / mostT, text: `${Number((t * 100).toPrecision(3))} %` })),
      },
      y2: {
        label: 'open paths',
        ticks: ticks(0, mostQ, 5, true).map((t) => ({ at: t / mostQ, text: t.toLocaleString('en') })),
      },
      threshold: linePath(series.threshold, x, (v) => plot.height * (1 - v / mostT)),
      queue: linePath(series.queue, x, (v) => plot.height * (1 - v / mostQ)),
    };
  }, [series, n, plot.width, plot.height]);
  return (
    <Chart
      title="Threshold and open paths"
      width={width}
      height={HEIGHT}
      x={drawn.x}
      y={drawn.y}
      y2={drawn.y2}
      legend={[
        { text: 'threshold above which a token became a branch (left)', line: 'curves-one' },
        { text: 'paths that were open (right)', line: 'curves-two' },
      ]}
      readout={<Readout run={run} series={series} />}
      onHover={(at) => {
        hovered.value = at === null ? NONE : (series.nodes[indexAt(at, n)] ?? NONE);
      }}
      onPick={(at) => select(series.nodes[indexAt(at, n)] ?? NONE)}
      onStep={onStep}
    >
      <path class="curves-two" d={drawn.queue} />
      <path class="curves-one" d={drawn.threshold} />
      <Marks series={series} plot={plot} mostT={drawn.mostT} mostQ={drawn.mostQ} />
    </Chart>
  );
}

const placeOf = (i: number, n: number): number => (n === 1 ? 0.5 : i / (n - 1));

function Readout({ run, series }: { run: Run; series: SearchSeries }) {
  const n = hovered.value !== NONE ? hovered.value : selected.value;
  const i = indexOfNode(series, n);
  if (i < 0) return <>Point at the chart, or choose a token after which the run looked further.</>;
  return (
    <>
      {[
        `step ${(i + 1).toLocaleString('en')} of the search`,
        `after ${tokenName(run, n)}`,
        `threshold ${percent(series.threshold[i]!)}`,
        `${count(series.queue[i]!, 'path')} open`,
      ].join(' · ')}
    </>
  );
}

function Marks({ series, plot, mostT, mostQ }: { series: SearchSeries; plot: Plot; mostT: number; mostQ: number }) {
  const mark = (n: number, kind: 'selected' | 'hovered') => {
    const i = indexOfNode(series, n);
    if (i < 0) return null;
    const dots = [series.threshold[i]! / mostT, series.queue[i]! / mostQ];
    return <Cross plot={plot} at={placeOf(i, series.nodes.length)} dots={dots} kind={kind} />;
  };
  return (
    <>
      {mark(selected.value, 'selected')}
      {mark(hovered.value, 'hovered')}
    </>
  );
}
