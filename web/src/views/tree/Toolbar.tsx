// Zoom, filters, search and actions above the tree.

import type { Signal } from '@preact/signals';
import type { RefObject } from 'preact';
import { count, percent } from '../../lib/numbers';
import { NONE } from '../../lib/run';
import { minMass, minProb, select, selected } from '../../state/store';
import type { Scene } from './scene';

export interface Actions {
  onContinue?: (node: number) => void;
  onExpandFrontier?: (nodes: number[]) => void;
  onExplore?: (node: number) => void;
}

/** The most leaves that one press expands. */
const FRONTIER = 64;
const STEPS = 100;

interface SliderProps {
  label: string;
  title: string;
  value: Signal<number>;
  /** The least value but 0, as a power of ten. */
  least: number;
}

/** A slider on a log scale; its left end is "show everything". */
function LogSlider({ label, title, value, least }: SliderProps) {
  const v = value.value;
  const at = v <= 0 ? 0 : Math.max(1, Math.round(STEPS * (1 - Math.log10(v) / least)));
  const text = v <= 0 ? 'all' : `≥ ${percent(v)}`;
  return (
    <label class="tree-slider" title={title}>
      <span>{label}</span>
      <input
        type="range"
        min={0}
        max={STEPS}
        value={at}
        aria-valuetext={text}
        onInput={(e) => {
          const i = Number(e.currentTarget.value);
          value.value = i === 0 ? 0 : 10 ** (least * (1 - i / STEPS));
        }}
      />
      <output>{text}</output>
    </label>
  );
}

interface ToolbarProps extends Actions {
  scene: Scene;
  searchBox: RefObject<HTMLInputElement | null>;
  onLeaveSearch: () => void;
}

export function Toolbar(props: ToolbarProps) {
  const { scene } = props;
  const node = selected.value;
  const shown = scene.shown.value;
  const zoom = scene.zoom.value;
  return (
    <div class="canvas-bar tree-bar" role="toolbar" aria-label="Tree">
      <span class="tree-group">
        <button type="button" title="Zoom out (−)" aria-label="Zoom out" onClick={() => scene.zoomBy(1 / 1.3)}>
          −
        </button>
        <span class="tree-zoom">{zoom >= 0.1 ? Math.round(zoom * 100) : (zoom * 100).toPrecision(1)} %</span>
        <button type="button" title="Zoom in (+)" aria-label="Zoom in" onClick={() => scene.zoomBy(1.3)}>
          +
        </button>
        <button type="button" title="Show the whole tree (f)" onClick={() => scene.fit()}>
          Fit
        </button>
        <button type="button" title="Actual size" onClick={() => scene.actualSize()}>
          1:1
        </button>
      </span>
      <span class="tree-group">
        <button type="button" onClick={() => scene.expandAll()}>
          Expand all
        </button>
        <button type="button" title="Collapse to the first place that branches" onClick={() => scene.collapseAll()}>
          Collapse all
        </button>
        <button
          type="button"
          title="Hide the selected segment and what follows it; the run keeps it"
          disabled={node === 0}
          onClick={() => scene.prune(node)}
        >
          Prune view
        </button>
        {shown.pruned > 0 && (
          <button type="button" onClick={() => scene.unprune()}>
            Show pruned ({shown.pruned})
          </button>
        )}
      </span>
      <LogSlider label="Probability" title="Least probability of a branch's first token" value={minProb} least={-5} />
      <LogSlider label="Mass" title="Least probability of the whole path" value={minMass} least={-12} />
      <SearchBox {...props} />
      <span class="tree-group">
        {props.onContinue && (
          <button type="button" onClick={() => props.onContinue?.(node)}>
            Continue from here
          </button>
        )}
        {props.onExpandFrontier && (
          <button
            type="button"
            title={`Expand the open leaves in the window, most massive first, at most ${FRONTIER}`}
            onClick={() => props.onExpandFrontier?.(scene.frontier(FRONTIER))}
          >
            Expand frontier
          </button>
        )}
        {props.onExplore && (
          <button type="button" onClick={() => props.onExplore?.(node)}>
            Explore here
          </button>
        )}
      </span>
      <span class="tree-count">
        {count(shown.segments, 'segment')}
        {shown.hidden > 0 && `, ${count(shown.hidden, 'token')} hidden`}
      </span>
    </div>
  );
}

function SearchBox({ scene, searchBox, onLeaveSearch }: ToolbarProps) {
  const { query, hits, at } = scene.found.value;
  const step = (by: 1 | -1) => {
    const n = scene.step(by);
    if (n !== NONE) select(n);
  };
  return (
    <search class="tree-group">
      <input
        ref={searchBox}
        type="search"
        placeholder="Search (/)"
        aria-label="Search the tree"
        value={query}
        onInput={(e) => scene.search(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === 'Enter') step(e.shiftKey ? -1 : 1);
          else if (e.key === 'Escape') onLeaveSearch();
          else return;
          e.preventDefault();
          e.stopPropagation();
        }}
      />
      {query !== '' && (
        <>
          <output class="tree-hits">
            {at === NONE ? count(hits.length, 'hit') : `${at + 1} of ${count(hits.length, 'hit')}`}
          </output>
          <button type="button" aria-label="Previous hit" disabled={hits.length === 0} onClick={() => step(-1)}>
            ↑
          </button>
          <button type="button" aria-label="Next hit" disabled={hits.length === 0} onClick={() => step(1)}>
            ↓
          </button>
        </>
      )}
    </search>
  );
}
