// How surprising tokens are: those of the path beside those of the tree.

import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { greatest, histogram, pathSeries, stepPath, ticks, treeSurprisals, type Step } from '../../lib/curves';
import { surprisal } from '../../lib/metrics';
import { percent } from '../../lib/numbers';
import { NONE, ROOT, type Run } from '../../lib/run';
import { hovered, selected } from '../../state/store';
import { Chart, Cross, type Plot, plotOf } from './Chart';

const HEIGHT = 190;
const BIN = 0.5;
/** What is more surprising is in the last bin. */
const MOST_BITS = 20;

interface Props {
  run: Run;
  nodes: readonly number[];
  /** Changes when the run has. */
  revision: number;
  width: number;
  onStep: (to: Step) => void;
}

export function HistogramChart({ run, nodes, revision, width, onStep }: Props) {
  const plot = plotOf(width, HEIGHT);
  const over = useSignal(NONE);
  // The run itself stays the same object while it grows.
  const ofTree = useMemo(() => treeSurprisals(run), [run, revision]);
  const ofPath = useMemo(() => pathSeries(run, nodes).surprisal, [run, nodes, revision]);
  const drawn = useMemo(() => {
    const range = Math.min(MOST_BITS, Math.max(2, Math.ceil(greatest(ofTree, 0))));
    const bins = Math.round(range / BIN);
    const tree = histogram(ofTree, BIN, bins);
    const path = histogram(ofPath, BIN, bins);
    const share = (h: typeof tree) => h.counts.map((c) => (h.total === 0 ? 0 : c / h.total));
    const [treeShare, pathShare] = [share(tree), share(path)];
    const most = greatest(pathShare, greatest(treeShare, 0.01)) * 1.05;
    const x = (edge: number) => (edge / bins) * plot.width;
    const y = (v: number) => plot.height * (1 - v / most);
    return {
      range,
      bins,
      tree,
      path,
      x: {
        label:
          greatest(ofTree, 0) > range ? `surprisal, bits (the last bar: ${range - BIN} and more)` : 'surprisal, bits',
        ticks: ticks(0, range, plot.width / 50).map((t) => ({ at: t / range, text: String(t) })),
      },
      y: {
        label: 'share of tokens',
        ticks: ticks(0, most, 5).map((t) => ({ at: t / most, text: `${Number((t * 100).toPrecision(3))} %` })),
      },
      treePath: stepPath(treeShare, x, y),
      pathPath: stepPath(pathShare, x, y),
    };
  }, [ofTree, ofPath, plot.width, plot.height]);

  const readout = () => {
    const i = over.value;
    if (i === NONE || i >= drawn.bins) return 'Point at the chart to count tokens.';
    const { tree, path } = drawn;
    const range = i === drawn.bins - 1 ? `${i * BIN} bits and more` : `${i * BIN} to ${(i + 1) * BIN} bits`;
    const of = (name: string, h: typeof tree) =>
      `${name} ${h.counts[i]!.toLocaleString('en')} of ${h.total.toLocaleString('en')} (${percent(h.counts[i]! / h.total)})`;
    return [range, of('path', path), of('tree', tree)].join(' · ');
  };
  return (
    <Chart
      title="Histogram of surprisals"
      width={width}
      height={HEIGHT}
      x={drawn.x}
      y={drawn.y}
      legend={[
        { text: `${drawn.path.total.toLocaleString('en')} of the path`, line: 'curves-one' },
        { text: `${drawn.tree.total.toLocaleString('en')} of the tree`, line: 'curves-area' },
      ]}
      readout={readout()}
      onHover={(at) => {
        over.value = at === null ? NONE : Math.min(drawn.bins - 1, Math.floor(at * drawn.bins));
      }}
      onStep={onStep}
    >
      <path class="curves-area" d={drawn.treePath} />
      <path class="curves-one" d={drawn.pathPath} />
      <Marks run={run} plot={plot} range={drawn.range} />
    </Chart>
  );
}

/** Where the selected and the hovered token are. */
function Marks({ run, plot, range }: { run: Run; plot: Plot; range: number }) {
  const mark = (n: number, kind: 'selected' | 'hovered') => {
    if (n <= ROOT || n >= run.size) return null;
    return <Cross plot={plot} at={Math.min(1, Math.max(0, surprisal(run, n) / range))} dots={[]} kind={kind} />;
  };
  return (
    <>
      {mark(selected.value, 'selected')}
      {mark(hovered.value, 'hovered')}
    </>
  );
}
