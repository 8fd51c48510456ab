// The run as a tree of boxes and links, on a canvas.

import { effect, useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { NONE, ROOT, type Run } from '../lib/run';
import { hovered, leaf, marks, metric, minMass, minProb, query, revision, runDocument, selected } from '../state/store';
import { treePicture } from '../state/share';
import { listen } from './tree/input';
import { Scene } from './tree/scene';
import { type Actions, Toolbar } from './tree/Toolbar';
import { onThemeChange } from './tree/theme';
import { oneLine } from '../lib/visible';
import { branchChance, describe, dump, reasonOf, textOf } from './tree/words';
import { Spoken, type Tip, Tooltip } from './Tooltip';
import { ViewBar } from './ViewBar';
import './tree.css';

export type TreeProps = Actions;

export function TreeView(props: TreeProps) {
  const document = runDocument.value;
  if (!document) return null;
  // A view is of one run: another run is another view, with its own state.
  return <RunTree key={document.key} run={document.run} {...props} />;
}

function RunTree({ run, ...actions }: TreeProps & { run: Run }) {
  const stage = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const map = useRef<HTMLCanvasElement>(null);
  const searchBox = useRef<HTMLInputElement>(null);
  const scene = useSignal<Scene | null>(null);
  const tip = useSignal<Tip | null>(null);
  const spoken = useSignal('');

  useLayoutEffect(() => {
    const made = new Scene(run, canvas.current!, map.current!);
    scene.value = made;
    const ends = [watch(made), onThemeChange(() => made.retheme()), observe(stage.current!, made), expose(made)];
    ends.push(
      listen({
        canvas: canvas.current!,
        scene: () => scene.peek(),
        onHover: (over) => {
          tip.value = over && {
            lines: describe(run, made.layout, over.index, marks.peek()),
            x: over.x,
            y: over.y,
          };
        },
        onMove: (index) => {
          spoken.value = sentence(made, index);
        },
        onSearch: () => searchBox.current?.focus(),
      }),
    );
    return () => {
      for (const end of ends) end();
      made.dispose();
      hovered.value = NONE;
      scene.value = null;
    };
  }, [run]);

  return (
    <>
      <ViewBar>
        {scene.value && (
          <Toolbar
            scene={scene.value}
            searchBox={searchBox}
            onLeaveSearch={() => canvas.current?.focus()}
            {...actions}
          />
        )}
      </ViewBar>
      <div class="view canvas-view tree" id="view" role="tabpanel" aria-labelledby="tab-tree">
        <div class="canvas-stage tree-stage" ref={stage}>
          <canvas
            ref={canvas}
            class="canvas"
            tabIndex={0}
            role="application"
            aria-label="Tree of continuations. Arrow keys move the selection, Enter takes the path, Space collapses. The outline view holds the same as text."
          />
          <Overview map={map} scene={() => scene.peek()} hidden={scene.value?.allSeen.value ?? true} />
          {tip.value && <Tooltip tip={tip.value} stage={stage.current} />}
        </div>
        <Spoken text={spoken} />
      </div>
    </>
  );
}

/** What of the store the tree shows; each change does only what it must. */
function watch(scene: Scene): () => void {
  // An effect runs once at first; the scene is up to date then.
  const after = (read: () => void, then: () => void) => {
    let first = true;
    return effect(() => {
      read();
      if (!first) then();
      first = false;
    });
  };
  const ends = [
    after(
      () => [leaf.value, selected.value, hovered.value],
      () => scene.invalidate(),
    ),
    after(
      () => metric.value,
      () => scene.reshade(),
    ),
    after(
      () => marks.value,
      () => scene.relabel(),
    ),
    after(
      () => [minMass.value, minProb.value],
      () => scene.refilter(),
    ),
    after(
      () => query.value,
      () => scene.search(),
    ),
    after(
      () => revision.value,
      () => scene.grown(),
    ),
  ];
  return () => {
    for (const end of ends) end();
  };
}

function observe(stage: HTMLElement, scene: Scene): () => void {
  const observer = new ResizeObserver(() => scene.resize(stage.clientWidth, stage.clientHeight));
  observer.observe(stage);
  return () => observer.disconnect();
}

/** For pictures of it, and for tests, which cannot read a canvas. */
function expose(scene: Scene): () => void {
  const face = {
    count: () => scene.layout.count,
    drawMs: () => scene.drawMs,
    dump: () => dump(scene.run, scene.layout),
  };
  treePicture.value = () => scene.picture();
  const place = globalThis as { __tree?: typeof face };
  place.__tree = face;
  return () => {
    if (place.__tree === face) {
      delete place.__tree;
      treePicture.value = null;
    }
  };
}

/** A segment in words, for who cannot see the canvas. */
function sentence(scene: Scene, index: number): string {
  const { run, layout } = scene;
  const first = scene.firstOf(index);
  const last = layout.last[index]!;
  const n = layout.childCount[index]!;
  const branches = layout.collapsed[index] ? 'collapsed' : n === 1 ? '1 branch' : `${n} branches`;
  return [
    first === ROOT ? 'Prompt' : oneLine(textOf(run, first, last, 40), false),
    branchChance(run, first),
    reasonOf(run, last)?.[1] ?? branches,
  ]
    .filter((x) => x !== '')
    .join(', ');
}

interface OverviewProps {
  map: { current: HTMLCanvasElement | null };
  scene: () => Scene | null;
  /** All of the tree is in sight anyway. */
  hidden: boolean;
}

/** The minimap; pressing and dragging moves what is seen. */
function Overview({ map, scene, hidden }: OverviewProps) {
  useEffect(() => {
    const canvas = map.current;
    if (!canvas) return;
    const end = new AbortController();
    const go = (e: PointerEvent) => {
      const r = canvas.getBoundingClientRect();
      scene()?.goToMap(e.clientX - r.left - canvas.clientLeft, e.clientY - r.top - canvas.clientTop);
    };
    canvas.addEventListener(
      'pointerdown',
      (e) => {
        canvas.setPointerCapture(e.pointerId);
        go(e);
      },
      { signal: end.signal },
    );
    canvas.addEventListener(
      'pointermove',
      (e) => {
        if (canvas.hasPointerCapture(e.pointerId)) go(e);
      },
      { signal: end.signal },
    );
    return () => end.abort();
  }, []);
  return <canvas class="tree-map" ref={map} aria-hidden="true" hidden={hidden} />;
}
