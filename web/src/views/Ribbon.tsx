// The run as a ribbon of text: as long as the text, as wide as the probability. The "mass" view.

import { effect, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { count } from '../lib/numbers';
import { visible } from '../lib/visible';
import { NONE, ROOT, type Run } from '../lib/run';
import { mass, massBits } from '../lib/words';
import { hovered, leaf, marks, metric, minMass, minProb, query, revision, runDocument, selected } from '../state/store';
import { Filters, SearchBox } from './Filters';
import { listen } from './ribbon/input';
import { Scene } from './ribbon/scene';
import { describe, describeRest, dump, sentence } from './ribbon/words';
import { onThemeChange } from './tree/theme';
import { Spoken, type Tip, Tooltip } from './Tooltip';
import { ViewBar } from './ViewBar';
import './ribbon.css';

export function RibbonView() {
  const document = runDocument.value;
  if (!document) return null;
  // A view is of one run: another run is another view, with its own state.
  return <RunRibbon key={document.key} run={document.run} />;
}

function RunRibbon({ run }: { run: Run }) {
  const stage = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const searchBox = useRef<HTMLInputElement>(null);
  const scene = useSignal<Scene | null>(null);
  const tip = useSignal<Tip | null>(null);
  const spoken = useSignal('');

  useLayoutEffect(() => {
    const box = stage.current!;
    const made = new Scene(run, canvas.current!);
    scene.value = made;
    const observer = new ResizeObserver(() => made.resize(box.clientWidth, box.clientHeight));
    observer.observe(box);
    const ends = [
      watch(made),
      onThemeChange(() => made.retheme()),
      () => observer.disconnect(),
      expose(made),
      listen({
        canvas: canvas.current!,
        scene: made,
        onHover: (at) => {
          const lines = at && tipAt(made, at.x, at.y);
          tip.value = at && lines && { lines, ...at };
        },
        onMove: (index) => {
          spoken.value = sentence(run, made.layout, index);
        },
        onSearch: () => searchBox.current?.focus(),
      }),
    ];
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
        {scene.value && <Header scene={scene.value} searchBox={searchBox} onLeave={() => canvas.current?.focus()} />}
      </ViewBar>
      <div class="view canvas-view" id="view" role="tabpanel" aria-labelledby="tab-ribbon">
        {scene.value && <Trail run={run} scene={scene.value} onLeave={() => canvas.current?.focus()} />}
        <div class="canvas-stage" ref={stage}>
          <canvas
            ref={canvas}
            class="canvas"
            tabIndex={0}
            role="application"
            aria-label="Ribbon of continuations. Arrow keys move the selection, Enter zooms to it, Escape zooms out. The outline view holds the same as text."
          />
          {tip.value && <Tooltip tip={tip.value} stage={stage.current} />}
        </div>
        <Spoken text={spoken} />
      </div>
    </>
  );
}

function tipAt(scene: Scene, px: number, py: number): string[] | null {
  const hit = scene.hit(px, py);
  if (!hit) return null;
  const { run, layout } = scene;
  if (hit.part === 'box') return describe(run, layout, hit.index, scene.at(px, py).x, marks.peek());
  return describeRest(run, layout, hit.index, hit.part);
}

/** What of the store the ribbon shows; each change does only what it must. */
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
      () => [leaf.value, selected.value, hovered.value, marks.value],
      () => scene.invalidate(),
    ),
    after(
      () => metric.value,
      () => scene.reshade(),
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

/** For tests, which cannot read a canvas. */
function expose(scene: Scene): () => void {
  const face = {
    count: () => scene.layout.count,
    drawMs: () => scene.drawMs,
    dump: () => dump(scene.run, scene.layout),
  };
  const place = globalThis as { __ribbon?: typeof face };
  place.__ribbon = face;
  return () => {
    if (place.__ribbon === face) delete place.__ribbon;
  };
}

interface HeaderProps {
  scene: Scene;
  searchBox: RefObject<HTMLInputElement | null>;
  onLeave: () => void;
}

function Header({ scene, searchBox, onLeave }: HeaderProps) {
  const { shares, boxes, hidden } = scene.shown.value;
  return (
    <>
      <fieldset class="group switch">
        <legend class="unseen">Height of boxes</legend>
        <button
          type="button"
          class="small"
          aria-pressed={shares === 'explored'}
          title="The branches of a box share its whole height, however improbable they are"
          onClick={() => scene.setShares('explored')}
        >
          Enlarged
        </button>
        <button
          type="button"
          class="small"
          aria-pressed={shares === 'true'}
          title="Height is probability; what was not followed is hatched"
          onClick={() => scene.setShares('true')}
        >
          To scale
        </button>
      </fieldset>
      <fieldset class="group">
        <legend class="unseen">Zoom along the text</legend>
        <button type="button" class="icon" aria-label="Zoom out along the text" onClick={() => scene.zoomX(0.8)}>
          −
        </button>
        <button type="button" class="icon" aria-label="Zoom in along the text" onClick={() => scene.zoomX(1.25)}>
          +
        </button>
        <button
          type="button"
          class="small"
          title="Text at its natural length, from the beginning (0)"
          onClick={() => scene.reset()}
        >
          1:1
        </button>
        <button type="button" class="small" title="The whole length" onClick={() => scene.fit()}>
          Fit
        </button>
      </fieldset>
      <SearchBox view={scene} box={searchBox} onLeave={onLeave} />
      <Filters />
      <span class="canvas-count ribbon-count">
        {count(boxes, 'box', 'boxes')}
        {hidden > 0 && `, ${hidden.toLocaleString('en')} hidden`}
      </span>
    </>
  );
}

/** The boxes that were zoomed into; nothing while all is seen. */
function Trail({ run, scene, onLeave }: { run: Run; scene: Scene; onLeave: () => void }) {
  const { zooms } = scene.shown.value;
  if (zooms.length < 2) return null;
  return (
    <nav class="ribbon-trail" aria-label="Zoom">
      <Crumbs
        run={run}
        zooms={zooms}
        onGo={(i) => {
          scene.zoomOut(i);
          onLeave();
        }}
      />
    </nav>
  );
}

/** At most so many steps of the breadcrumb are shown, the first and the last ones. */
const CRUMBS = 8;

interface CrumbsProps {
  run: Run;
  zooms: number[];
  onGo: (i: number) => void;
}

function Crumbs({ run, zooms, onGo }: CrumbsProps) {
  const hidden = Math.max(0, zooms.length - CRUMBS);
  const last = zooms.length - 1;
  return (
    <>
      <ol class="ribbon-crumbs">
        {zooms.map((n, i) => {
          if (i > 0 && i <= hidden) return i === 1 ? <li key="more">…</li> : null;
          return (
            <li key={n}>
              <button
                type="button"
                disabled={i === last}
                aria-current={i === last ? 'location' : undefined}
                title={i === last ? undefined : `Back to a box of mass ${mass(run, n)}`}
                onClick={() => onGo(i)}
              >
                {n === ROOT ? 'prompt' : crumb(run, n)}
              </button>
            </li>
          );
        })}
      </ol>
      <span class="ribbon-bits">{massBits(run, zooms[last] ?? ROOT)} of zoom</span>
    </>
  );
}

/** The beginning of the text of a segment. */
function crumb(run: Run, first: number): string {
  const tokens = [run.token.get(first)];
  for (let n = first; tokens.length < 6 && run.children.get(n) === 1;) {
    n = run.firstChild.get(n);
    tokens.push(run.token.get(n));
  }
  const text = Array.from(visible(run.textOf(tokens)));
  return text.length > 20 ? `${text.slice(0, 20).join('')}…` : text.join('');
}
