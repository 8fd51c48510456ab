// Pointers, wheel and keys on the tree's canvas.

import { NONE, ROOT } from '../../lib/run';
import { hovered, reroute, select, selected } from '../../state/store';
import { MAX_ZOOM } from './camera';
import type { Scene } from './scene';

/** A press that moves less is a click. */
const SLACK = 4;
const ARROW_PAN = 60;

export interface Host {
  canvas: HTMLCanvasElement;
  scene: () => Scene | null;
  /** The pointer is over a segment, at a point of the canvas; null where it is over none. */
  onHover: (over: { index: number; x: number; y: number } | null) => void;
  /** The selection was moved by a key. */
  onMove: (index: number) => void;
  onSearch: () => void;
}

/** Listens; returns what ends that. */
export function listen(host: Host): () => void {
  const { canvas } = host;
  const end = new AbortController();
  const on = <K extends keyof HTMLElementEventMap>(
    type: K,
    f: (e: HTMLElementEventMap[K], scene: Scene) => void,
    options: AddEventListenerOptions = {},
  ) =>
    canvas.addEventListener(
      type,
      (e) => {
        const scene = host.scene();
        if (scene) f(e, scene);
      },
      { signal: end.signal, ...options },
    );
  const point = (e: { clientX: number; clientY: number }): [number, number] => {
    const r = canvas.getBoundingClientRect();
    return [e.clientX - r.left, e.clientY - r.top];
  };

  const pointers = new Map<number, [number, number]>();
  let dragged = false;
  let onHandle = false;
  let started: [number, number] = [0, 0];

  const unhover = () => {
    hovered.value = NONE;
    host.onHover(null);
  };

  on('pointerdown', (e) => {
    if (e.button !== 0) return;
    canvas.setPointerCapture(e.pointerId);
    pointers.set(e.pointerId, point(e));
    if (pointers.size === 1) {
      dragged = false;
      started = point(e);
    } else dragged = true;
  });

  on('pointermove', (e, scene) => {
    const now = point(e);
    const before = pointers.get(e.pointerId);
    if (!before) {
      const hit = scene.pick(...now);
      hovered.value = hit ? scene.firstOf(hit.index) : NONE;
      canvas.style.cursor = hit ? 'pointer' : 'grab';
      host.onHover(hit ? { index: hit.index, x: now[0], y: now[1] } : null);
      return;
    }
    const other = [...pointers].find(([id]) => id !== e.pointerId)?.[1];
    pointers.set(e.pointerId, now);
    if (other) {
      const [spreadBefore, spread] = [before, now].map((p) => Math.hypot(p[0] - other[0], p[1] - other[1])) as [
        number,
        number,
      ];
      const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2] as const;
      scene.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      if (spreadBefore > 0) scene.zoomBy(spread / spreadBefore, ...middle);
      return;
    }
    if (!dragged && Math.hypot(now[0] - started[0], now[1] - started[1]) < SLACK) return;
    if (!dragged) {
      dragged = true;
      unhover();
      canvas.style.cursor = 'grabbing';
      scene.pan(now[0] - started[0], now[1] - started[1]);
    } else scene.pan(now[0] - before[0], now[1] - before[1]);
  });

  on('pointerup', (e, scene) => {
    const clicked = pointers.delete(e.pointerId) && !dragged && e.button === 0;
    if (dragged) canvas.style.cursor = 'grab';
    if (!clicked) return;
    const hit = scene.pick(...point(e));
    onHandle = hit?.handle ?? false;
    if (!hit) return;
    if (hit.handle) scene.toggle(hit.index);
    else select(scene.firstOf(hit.index));
  });
  on('pointercancel', (e) => {
    pointers.delete(e.pointerId);
  });
  on('pointerleave', unhover);

  on('dblclick', (e, scene) => {
    const hit = scene.pick(...point(e));
    // Each click on a handle has toggled already.
    if (hit && !hit.handle && !onHandle) scene.toggle(hit.index);
  });

  on(
    'wheel',
    (e, scene) => {
      e.preventDefault();
      const lines =
        e.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : e.deltaMode === WheelEvent.DOM_DELTA_PAGE ? 300 : 1;
      if (e.shiftKey) {
        scene.pan(-(e.deltaX || e.deltaY) * lines, 0);
        return;
      }
      // A trackpad's pinch comes as small steps with the control key.
      const delta = Math.max(-300, Math.min(300, e.deltaY * lines)) * (e.ctrlKey ? 6 : 1);
      scene.zoomBy(Math.exp(-delta * 0.0016), ...point(e));
      unhover();
    },
    { passive: false },
  );

  on('keydown', (e, scene) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (!press(e, scene, host)) return;
    e.preventDefault();
    e.stopPropagation();
  });

  return () => end.abort();
}

/** Whether the key meant something. */
function press(e: KeyboardEvent, scene: Scene, host: Host): boolean {
  switch (e.key) {
    case 'ArrowLeft':
    case 'ArrowRight':
    case 'ArrowUp':
    case 'ArrowDown':
      if (e.shiftKey) {
        const [dx, dy] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key] as [
          number,
          number,
        ];
        scene.pan(dx * ARROW_PAN, dy * ARROW_PAN);
      } else move(e.key, scene, host);
      return true;
    case 'Enter':
      reroute(selected.value);
      return true;
    case ' ':
      scene.toggle(scene.indexOf(selected.value));
      host.onMove(scene.indexOf(selected.value));
      return true;
    case '+':
    case '=':
      if (scene.camera.zoom < MAX_ZOOM) scene.zoomBy(1.3);
      return true;
    case '-':
    case '_':
      scene.zoomBy(1 / 1.3);
      return true;
    case '0':
    case 'f':
      scene.fit();
      return true;
    case '/':
      host.onSearch();
      return true;
    default:
      return false;
  }
}

function move(key: string, scene: Scene, host: Host): void {
  const { layout } = scene;
  const at = scene.indexOf(selected.value);
  if (at === NONE) return;
  let to = at;
  if (key === 'ArrowLeft') to = Math.max(ROOT, layout.parent[at]!);
  else if (key === 'ArrowRight') {
    if (layout.childCount[at]! > 0) to = layout.childStart[at]!;
  } else {
    // A level is one stretch: past the last sibling comes the next cousin.
    const next = at + (key === 'ArrowDown' ? 1 : -1);
    if (layout.level[next] === layout.level[at]) to = next;
  }
  if (to !== at) select(scene.firstOf(to));
  scene.reveal(to);
  host.onMove(to);
}
