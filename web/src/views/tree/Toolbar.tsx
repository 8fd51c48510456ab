// Zoom, filters, search and actions above the tree.

import type { RefObject } from 'preact';
import { count } from '../../lib/numbers';
import { selected } from '../../state/store';
import { Filters, SearchBox } from '../Filters';
import type { Scene } from './scene';

export interface Actions {
  onContinue?: (node: number) => void;
  onExpandFrontier?: (nodes: number[]) => void;
  onExplore?: (node: number) => void;
}

/** The most leaves that one press expands. */
const FRONTIER = 64;
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
      <span class="canvas-group">
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
      <span class="canvas-group">
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
      <Filters />
      <SearchBox view={scene} box={props.searchBox} onLeave={props.onLeaveSearch} />
      <span class="canvas-group">
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
