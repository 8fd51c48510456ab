// Zoom, filters, search and what else the tree can do, beside the tabs.

import type { RefObject } from 'preact';
import { count } from '../../lib/numbers';
import { selected } from '../../state/store';
import { Filters, SearchBox } from '../Filters';
import { Menu } from '../Menu';
import type { Scene } from './scene';

export interface Actions {
  onExpandFrontier?: (nodes: number[]) => void;
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
  const act = (close: () => void, what: () => void) => () => {
    close();
    what();
  };
  return (
    <>
      <span class="group">
        <button
          type="button"
          class="icon"
          title="Smaller (−)"
          aria-label="Zoom out"
          onClick={() => scene.zoomBy(1 / 1.3)}
        >
          −
        </button>
        <span class="tree-zoom">{zoom >= 0.1 ? Math.round(zoom * 100) : (zoom * 100).toPrecision(1)} %</span>
        <button type="button" class="icon" title="Larger (+)" aria-label="Zoom in" onClick={() => scene.zoomBy(1.3)}>
          +
        </button>
        <button type="button" class="small" title="Show the whole tree (f)" onClick={() => scene.fit()}>
          Fit
        </button>
        <button type="button" class="small" title="Actual size" onClick={() => scene.actualSize()}>
          1:1
        </button>
      </span>
      <SearchBox view={scene} box={props.searchBox} onLeave={props.onLeaveSearch} />
      <Filters />
      <Menu label="Branches" class="small">
        {(close) => (
          <>
            <button type="button" role="menuitem" onClick={act(close, () => scene.expandAll())}>
              Expand all
            </button>
            <button
              type="button"
              role="menuitem"
              title="Collapse to the first place that branches"
              onClick={act(close, () => scene.collapseAll())}
            >
              Collapse all
            </button>
            <button
              type="button"
              role="menuitem"
              title="Leaves the selected box, and what follows it, out of this view; the run keeps it"
              disabled={node === 0}
              onClick={act(close, () => scene.prune(node))}
            >
              Hide this branch
            </button>
            {shown.pruned > 0 && (
              <button type="button" role="menuitem" onClick={act(close, () => scene.unprune())}>
                Show what was hidden ({shown.pruned})
              </button>
            )}
            {props.onExpandFrontier && (
              <button
                type="button"
                role="menuitem"
                title={`Looks one token further at each open end in the window, the most probable first, at most ${FRONTIER}`}
                onClick={act(close, () => props.onExpandFrontier?.(scene.frontier(FRONTIER)))}
              >
                Grow the open ends in sight
              </button>
            )}
          </>
        )}
      </Menu>
      <span class="canvas-count">
        {count(shown.segments, 'box', 'boxes')}
        {shown.hidden > 0 && `, ${count(shown.hidden, 'token')} hidden`}
      </span>
    </>
  );
}
