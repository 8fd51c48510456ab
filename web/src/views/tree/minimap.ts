// The whole tree in a corner, with a frame around what is seen.

import { type Camera, scaleX, scaleY } from './camera';
import { drawStrokes } from './draw';
import type { Scenery } from './picture';

export const MAP_WIDTH = 176;
export const MAP_HEIGHT = 112;

export class Minimap {
  private picture: HTMLCanvasElement | null = null;

  /** `canvas`: what is shown; the tree itself is painted once and kept. */
  constructor(private readonly canvas: HTMLCanvasElement) {}

  /** The tree or its colours have changed. */
  forget(): void {
    this.picture = null;
  }

  private scale(s: Scenery): [number, number] {
    return [MAP_WIDTH / Math.max(1, s.layout.width), MAP_HEIGHT / Math.max(1, s.layout.height)];
  }

  draw(s: Scenery, camera: Camera, width: number, height: number): void {
    const dpr = devicePixelRatio || 1;
    const [w, h] = [Math.round(MAP_WIDTH * dpr), Math.round(MAP_HEIGHT * dpr)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
      this.picture = null;
    }
    const ctx = this.canvas.getContext('2d');
    if (!ctx) return;
    this.picture ??= this.paint(s, w, h, dpr);
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.drawImage(this.picture, 0, 0);
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    const [fx, fy] = this.scale(s);
    // A frame is seen even where the window is a thousandth of the tree, or larger than it.
    const left = Math.max(0, Math.min(MAP_WIDTH - 4, camera.x * fx));
    const top = Math.max(0, Math.min(MAP_HEIGHT - 4, camera.y * fy));
    const right = Math.min(MAP_WIDTH, Math.max(left + 4, (camera.x + width / scaleX(camera)) * fx));
    const bottom = Math.min(MAP_HEIGHT, Math.max(top + 4, (camera.y + height / scaleY(camera)) * fy));
    ctx.strokeStyle = s.theme.select;
    ctx.lineWidth = 1.5;
    ctx.strokeRect(left + 0.75, top + 0.75, right - left - 1.5, bottom - top - 1.5);
  }

  private paint(s: Scenery, w: number, h: number, dpr: number): HTMLCanvasElement {
    const picture = document.createElement('canvas');
    picture.width = w;
    picture.height = h;
    const ctx = picture.getContext('2d')!;
    ctx.fillStyle = s.theme.bg;
    ctx.fillRect(0, 0, w, h);
    ctx.scale(dpr, dpr);
    const [fx, fy] = this.scale(s);
    // Any two scales can be had as a zoom below 1 and a power of it.
    const zoom = Math.min(0.5, fy);
    const camera: Camera = { x: 0, y: 0, zoom, squeeze: Math.log(fx) / Math.log(zoom) };
    drawStrokes(ctx, s, camera, MAP_WIDTH, MAP_HEIGHT);
    return picture;
  }

  /** The world point under a point of the map. */
  world(s: Scenery, x: number, y: number): [number, number] {
    const [fx, fy] = this.scale(s);
    return [x / fx, y / fy];
  }
}
