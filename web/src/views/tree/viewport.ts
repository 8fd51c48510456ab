// A window on a layout: moving, zooming, and what is under a point.

import { signal } from '@preact/signals';
import { levelAt, nearestInLevel } from '../../lib/layout/cull';
import { boxHeightOf, ROW, type TreeLayout } from '../../lib/layout/tree';
import { NONE } from '../../lib/run';
import { besideScale, HANDLE } from './boxes';
import { boxHeight, type Camera, fit, MAX_ZOOM, minZoom, placeAt, scaleX, scaleY, zoomAt } from './camera';

export interface Pick {
  index: number;
  handle: boolean;
}

export abstract class Viewport {
  layout!: TreeLayout;
  camera: Camera = { x: 0, y: 0, zoom: 1, squeeze: 1 };
  width = 0;
  height = 0;
  /** For the toolbar. */
  readonly zoom = signal(1);
  /** Whether all of the tree is in the window. */
  readonly allSeen = signal(true);

  abstract invalidate(): void;

  moveTo(camera: Camera): void {
    this.camera = camera;
    this.zoom.value = camera.zoom;
    const [kx, ky] = [scaleX(camera), scaleY(camera)];
    const { width, height } = this.layout;
    const [left, top] = [-camera.x * kx, -camera.y * ky];
    this.allSeen.value =
      left > -1 && top > -1 && left + width * kx < this.width + 1 && top + height * ky < this.height + 1;
    this.invalidate();
  }

  pan(dx: number, dy: number): void {
    const c = this.camera;
    this.moveTo({ ...c, x: c.x - dx / scaleX(c), y: c.y - dy / scaleY(c) });
  }

  zoomBy(factor: number, sx = this.width / 2, sy = this.height / 2): void {
    this.zoomTo(this.camera.zoom * factor, sx, sy);
  }

  zoomTo(zoom: number, sx = this.width / 2, sy = this.height / 2): void {
    const least = minZoom(this.layout, this.width, this.height);
    this.moveTo(zoomAt(this.camera, sx, sy, Math.min(MAX_ZOOM, Math.max(least, zoom))));
  }

  fit(): void {
    if (this.width > 0) this.moveTo(fit(this.layout, this.width, this.height));
  }

  private middleOf(index: number): number {
    return this.layout.levelX[this.layout.level[index]!]! + this.layout.boxWidth[index]! / 2;
  }

  /** Where the middle of a box is on the screen. */
  screenOf(index: number): [number, number] {
    const c = this.camera;
    return [(this.middleOf(index) - c.x) * scaleX(c), (this.layout.y[index]! - c.y) * scaleY(c)];
  }

  /** Moves no more than needed for a box to be seen whole. */
  reveal(index: number): void {
    const c = this.camera;
    const [x, y] = this.screenOf(index);
    const halfX = Math.min(this.width / 2, (this.layout.boxWidth[index]! / 2) * scaleX(c) + 24);
    const halfY = Math.min(this.height / 2, (ROW / 2) * scaleY(c) + 24);
    this.pan(
      Math.max(halfX, Math.min(this.width - halfX, x)) - x,
      Math.max(halfY, Math.min(this.height - halfY, y)) - y,
    );
  }

  /** Puts a box in the middle. */
  centre(index: number, zoom = this.camera.zoom): void {
    this.moveTo(
      placeAt({ ...this.camera, zoom }, this.middleOf(index), this.layout.y[index]!, this.width / 2, this.height / 2),
    );
  }

  /** The box or the handle under a screen point. */
  pick(sx: number, sy: number): Pick | null {
    const c = this.camera;
    const [kx, ky] = [scaleX(c), scaleY(c)];
    const x = c.x + sx / kx;
    const y = c.y + sy / ky;
    const l = levelAt(this.layout, x);
    const index = nearestInLevel(this.layout, l, y);
    if (index === NONE) return null;
    // Boxes smaller than a finger's or a mouse's precision are hit within a few pixels.
    const h = boxHeight(this.layout, index, kx, ky);
    if (Math.abs(y - this.layout.y[index]!) * ky > Math.max(h / 2, 3)) return null;
    const over = x - this.layout.levelX[l]! - this.layout.boxWidth[index]!;
    if (over <= Math.max(0, 2 / kx)) return { index, handle: false };
    const folds = this.layout.childCount[index]! > 0 || this.layout.collapsed[index] === 1;
    return folds && over * kx < 2 * HANDLE * besideScale(h / boxHeightOf(this.layout, index), kx)
      ? { index, handle: true }
      : null;
  }
}
