// Rank and log probability of two tokens after each layer.

import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { greatest, indexAt, linePath, logTicks, type Step, ticks } from '../../lib/curves';
import { type Layers, layerName, rivals } from '../../lib/layers';
import { BITS } from '../../lib/metrics';
import { bare } from '../../lib/numbers';
import { visible } from '../../lib/visible';
import { Chart, Cross, plotOf } from '../curves/Chart';

const HEIGHT = 200;
/** What is more surprising is drawn at the edge: the first layers are far off, and what happens later would not be seen. */
const MOST_BITS = 40;

/** A rank in few letters. */
const short = (rank: number): string =>
  rank >= 1e6 ? `${rank / 1e6}M` : rank >= 1e3 ? `${rank / 1e3}k` : String(rank);

interface Props {
  found: Layers;
  /** The token that stands there, or null. */
  here: number | null;
  width: number;
  onStep: (to: Step) => void;
}

export function LayerCharts({ found, here, width, onStep }: Props) {
  const over = useSignal<number | null>(null);
  const n = found.layers.length;
  // Two charts stand side by side where both have room.
  const each = width >= 900 ? Math.floor((width - 32) / 2) : width;
  const plot = plotOf(each, HEIGHT);
  const pair = rivals(found, here).filter((i) => i < found.tokens.length);
  const drawn = useMemo(() => {
    const x = (i: number) => (n === 1 ? 0.5 : i / (n - 1)) * plot.width;
    const ranks = pair.map((p) => found.layers.map((l) => l.tokens[p]!.rank));
    const bits = pair.map((p) => found.layers.map((l) => Math.min(MOST_BITS, -l.tokens[p]!.logprob * BITS)));
    const powers = logTicks(Math.max(...ranks.map((r) => greatest(r, 1))));
    const decades = Math.log10(powers.at(-1)!);
    const most = Math.min(MOST_BITS, Math.max(...bits.map((b) => greatest(b, 1))) * 1.05);
    // The likelier, the higher.
    const ofRank = (v: number) => 1 - Math.log10(v) / decades;
    const ofBits = (v: number) => 1 - v / most;
    const lines = (of: number[][], scale: (v: number) => number) =>
      of.map((values) => linePath(values, x, (v) => plot.height * (1 - scale(v))));
    return {
      x: {
        label: 'layer (0 is the embedding)',
        ticks: ticks(0, n - 1, plot.width / 40, true).map((t) => ({
          at: n === 1 ? 0.5 : t / (n - 1),
          text: String(t),
        })),
      },
      rank: {
        y: { label: 'rank', ticks: powers.map((t) => ({ at: ofRank(t), text: short(t) })) },
        lines: lines(ranks, ofRank),
        dots: (i: number) => ranks.map((r) => ofRank(r[i]!)),
      },
      bits: {
        y: {
          label: most >= MOST_BITS ? `surprisal, bits (${MOST_BITS}: or more)` : 'surprisal, bits',
          ticks: ticks(0, most, 5).map((t) => ({ at: ofBits(t), text: String(t) })),
        },
        lines: lines(bits, ofBits),
        dots: (i: number) => bits.map((b) => ofBits(b[i]!)),
      },
    };
  }, [found, here, plot.width, plot.height]);
  const at = over.value ?? found.decided;
  const says = pair.map((p) => {
    const t = found.layers[at]!.tokens[p]!;
    return `“${visible(found.tokens[p]!.text)}” #${t.rank.toLocaleString('en')}, ${bare(-t.logprob * BITS)} bits`;
  });
  const shared = {
    width: each,
    height: HEIGHT,
    x: drawn.x,
    legend: pair.map((p, k) => ({
      text: `“${visible(found.tokens[p]!.text)}”${k === 0 ? (here === null ? ', the most likely' : ', which stands here') : ', its rival'}`,
      line: k === 0 ? 'curves-one' : 'curves-two',
    })),
    readout: `${layerName(at)}${over.value === null ? ', which decides' : ''}: ${says.join(' · ')}`,
    onHover: (place: number | null) => {
      over.value = place === null ? null : indexAt(place, n);
    },
    onStep,
  };
  const place = (i: number) => (n === 1 ? 0.5 : i / (n - 1));
  return (
    <div class="layer-charts">
      {(['rank', 'bits'] as const).map((kind) => (
        <Chart
          {...shared}
          key={kind}
          title={kind === 'rank' ? 'Rank after each layer' : 'Surprisal after each layer'}
          y={drawn[kind].y}
        >
          {drawn[kind].lines.map((d, k) => (
            <path key={k} class={k === 0 ? 'curves-one' : 'curves-two'} d={d} />
          ))}
          <Cross plot={plot} at={place(found.decided)} dots={drawn[kind].dots(found.decided)} kind="selected" />
          {over.value !== null && (
            <Cross plot={plot} at={place(over.value)} dots={drawn[kind].dots(over.value)} kind="hovered" />
          )}
        </Chart>
      ))}
    </div>
  );
}
