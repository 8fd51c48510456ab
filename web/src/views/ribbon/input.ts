// Pointer, wheel and keys on the ribbon.

import { NONE } from '../../lib/run';
import { hovered, select, selected } from '../../state/store';
import type { Scene } from './scene';

export interface Listener {
  canvas: HTMLCanvasElement;
  scene: Scene;
  /** The pointer rests at a pixel, or has left. */
  onHover: (at: { x: number; y: number } | null) => void;
  /** A key has moved the selection to a box. */
  onMove: (index: number) => void;
  /** The search box is asked for. */
  onSearch: () => void;
}

/** The pointer moves so many pixels before a press is a drag. */
const DRAG = 4;

/** Listens until the returned function is called. */
export function listen({ canvas, scene, onHover, onMove, onSearch }: Listener): () => void {
  const end = new AbortController();
  const on = <K extends keyof HTMLElementEventMap>(type: K, f: (e: HTMLElementEventMap[K]) => void, passive = true) =>
    canvas.addEventListener(type, f, { signal: end.signal, passive });
  const place = (e: MouseEvent) => {
    const r = canvas.getBoundingClientRect();
    return { x: e.clientX - r.left, y: e.clientY - r.top };
  };

  let press: { x: number; y: number; dragged: boolean } | null = null;
  const over = (at: { x: number; y: number } | null) => {
    hovered.value = at ? scene.nodeAt(at.x, at.y) : NONE;
    onHover(at);
  };

  on('pointerdown', (e) => {
    if (e.button !== 0) return;
    canvas.setPointerCapture(e.pointerId);
    press = { ...place(e), dragged: false };
  });
  on('pointermove', (e) => {
    const at = place(e);
    if (!press) {
      over(at);
      return;
    }
    const [dx, dy] = [at.x - press.x, at.y - press.y];
    if (!press.dragged && Math.hypot(dx, dy) < DRAG) return;
    scene.pan(-dx, -dy);
    press = { ...at, dragged: true };
    over(null);
  });
  on('pointerup', (e) => {
    const was = press;
    press = null;
    if (!was || was.dragged) return;
    const at = place(e);
    const n = scene.nodeAt(at.x, at.y);
    if (n !== NONE) select(n);
  });
  on('pointercancel', () => {
    press = null;
  });
  on('pointerleave', () => over(null));
  on('dblclick', (e) => {
    const at = place(e);
    const n = scene.nodeAt(at.x, at.y);
    if (n === NONE) return;
    scene.zoomTo(n);
    over(null);
  });
  on(
    'wheel',
    (e) => {
      e.preventDefault();
      const at = place(e);
      const unit = e.deltaMode === 1 ? 16 : e.deltaMode === 2 ? scene.width : 1;
      // Some browsers turn the wheel sideways while shift is held.
      const delta = (Math.abs(e.deltaX) > Math.abs(e.deltaY) ? e.deltaX : e.deltaY) * unit;
      const factor = Math.exp(-delta / 500);
      if (e.altKey) scene.zoomY(factor, at.y);
      else if (e.ctrlKey && scene.camera.ky > 1) scene.pan(0, delta);
      else if (e.ctrlKey || e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) scene.pan(delta, 0);
      else scene.zoomX(factor, at.x);
      over(at);
    },
    false,
  );
  const steps = { ArrowLeft: 'parent', ArrowRight: 'child', ArrowUp: 'before', ArrowDown: 'after' } as const;
  on(
    'keydown',
    (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      const step = steps[e.key as keyof typeof steps];
      if (step) {
        const i = scene.step(step);
        if (i !== NONE) onMove(i);
      } else if (e.key === 'Enter') {
        scene.zoomTo(selected.peek());
        onMove(0);
      } else if (e.key === 'Escape') {
        scene.zoomOut();
        onMove(0);
      } else if (e.key === '+' || e.key === '=') scene.zoomX(1.25);
      else if (e.key === '-') scene.zoomX(0.8);
      else if (e.key === '0') scene.reset();
      else if (e.key === '/') onSearch();
      else return;
      e.preventDefault();
    },
    false,
  );
  return () => end.abort();
}
