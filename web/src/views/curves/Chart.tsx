// The frame of a chart: axes, legend, pointer and keys.

import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import type { Step } from '../../lib/curves';

export const MARGIN = { top: 8, right: 56, bottom: 36, left: 56 };

export interface Axis {
  label: string;
  /** Places from 0 to 1 along the axis. */
  ticks: { at: number; text: string }[];
}

export interface LegendEntry {
  text: string;
  /** Class of the line, as in the chart. */
  line: string;
}

/** The inside of a chart, in pixels. */
export interface Plot {
  width: number;
  height: number;
}

export const plotOf = (width: number, height: number): Plot => ({
  width: Math.max(1, width - MARGIN.left - MARGIN.right),
  height: Math.max(1, height - MARGIN.top - MARGIN.bottom),
});

interface ChartProps {
  title: string;
  width: number;
  height: number;
  x: Axis;
  y: Axis;
  /** A second scale, on the right. */
  y2?: Axis;
  legend: LegendEntry[];
  /** What is said about the place under the pointer. */
  readout: ComponentChildren;
  /** Place of the pointer along x, 0 … 1; null when it left. */
  onHover: (at: number | null) => void;
  onPick?: (at: number) => void;
  onStep: (to: Step) => void;
  children: ComponentChildren;
}

const KEYS: Record<string, Step> = { ArrowLeft: 'before', ArrowRight: 'after', Home: 'first', End: 'last' };

export function Chart(props: ChartProps) {
  const { title, width, height, x, y, y2, legend, readout, onHover, onPick, onStep } = props;
  const id = useId();
  const plot = plotOf(width, height);
  const at = (e: PointerEvent | MouseEvent) => {
    const r = (e.currentTarget as Element).getBoundingClientRect();
    return Math.min(1, Math.max(0, (e.clientX - r.left - MARGIN.left) / plot.width));
  };
  return (
    <section class="curves-chart" aria-labelledby={id}>
      <header>
        <h3 id={id}>{title}</h3>
        <ul class="curves-legend">
          {legend.map((entry) => (
            <li key={entry.text}>
              <svg width="28" height="10" aria-hidden="true">
                <path class={entry.line} d="M1 5L27 5" />
              </svg>
              {entry.text}
            </li>
          ))}
        </ul>
      </header>
      <div class="curves-readout">{readout}</div>
      {/* An attribute of SVG keeps the case it is written in: `tabIndex` would be none. */}
      <svg
        class="curves-plot"
        width={width}
        height={height}
        tabindex={0}
        role="application"
        aria-label={`${title}. Left and right arrow keys move the selected token along the path.`}
        onPointerMove={(e) => onHover(at(e))}
        onPointerLeave={() => onHover(null)}
        onClick={onPick && ((e) => onPick(at(e)))}
        onKeyDown={(e) => {
          const step = KEYS[e.key];
          if (!step || e.ctrlKey || e.metaKey || e.altKey) return;
          e.preventDefault();
          onStep(step);
        }}
      >
        <g transform={`translate(${MARGIN.left} ${MARGIN.top})`}>
          <Axes plot={plot} x={x} y={y} y2={y2} />
          {props.children}
        </g>
      </svg>
    </section>
  );
}

/** Grid lines of an axis are one path: a chart has few elements. */
function Axes({ plot, x, y, y2 }: { plot: Plot; x: Axis; y: Axis; y2?: Axis | undefined }) {
  const { width: w, height: h } = plot;
  const up = (at: number) => (h * (1 - at)).toFixed(1);
  return (
    <>
      <path class="curves-grid" d={y.ticks.map((t) => `M0 ${up(t.at)}H${w}`).join('')} />
      <path
        class="curves-axis"
        d={`M0 0V${h}H${w}${y2 ? 'V0' : ''}${x.ticks.map((t) => `M${(t.at * w).toFixed(1)} ${h}v4`).join('')}`}
      />
      <g class="curves-ticks">
        {x.ticks.map((t) => (
          <text key={t.text} x={t.at * w} y={h + 16} text-anchor="middle">
            {t.text}
          </text>
        ))}
        {y.ticks.map((t) => (
          <text key={t.text} x={-6} y={up(t.at)} text-anchor="end" dominant-baseline="middle">
            {t.text}
          </text>
        ))}
        {y2?.ticks.map((t) => (
          <text key={t.text} x={w + 6} y={up(t.at)} dominant-baseline="middle">
            {t.text}
          </text>
        ))}
      </g>
      <g class="curves-labels">
        <text x={w / 2} y={h + 32} text-anchor="middle">
          {x.label}
        </text>
        <text transform={`translate(${-MARGIN.left + 12} ${h / 2}) rotate(-90)`} text-anchor="middle">
          {y.label}
        </text>
        {y2 && (
          <text transform={`translate(${w + MARGIN.right - 6} ${h / 2}) rotate(-90)`} text-anchor="middle">
            {y2.label}
          </text>
        )}
      </g>
    </>
  );
}

/** A line across the plot, with a dot on each curve. */
export function Cross({
  plot,
  at,
  dots,
  kind,
}: {
  plot: Plot;
  at: number;
  dots: number[];
  kind: 'selected' | 'hovered';
}) {
  const x = (at * plot.width).toFixed(1);
  return (
    <g class={`curves-cross curves-${kind}`}>
      <path d={`M${x} 0V${plot.height}`} />
      {dots.map((y, i) =>
        Number.isFinite(y) ? <circle key={i} cx={x} cy={(plot.height * (1 - y)).toFixed(1)} r="4" /> : null,
      )}
    </g>
  );
}
