// What of a ribbon is seen.

/** Cells and shares at the upper left corner, and scales. */
export interface Camera {
  x: number;
  y: number;
  /** Pixels a cell. */
  kx: number;
  /** 1: the zoomed box is as high as the window. */
  ky: number;
}

export interface Window {
  /** Pixels. */
  width: number;
  height: number;
  /** Where the ribbon ends, in cells. */
  end: number;
  /** Width of a character. */
  cell: number;
}

/** Room to the right of the end, as a share of the window. */
const MARGIN = 0.25;
/** Farther in, numbers can no longer tell neighbours apart: zooming to a box makes them anew. */
const MOST_KY = 1e6;

/** The nearest camera that shows some of the ribbon. */
export function inside(c: Camera, { width, end, cell }: Window): Camera {
  const whole = width / Math.max(1, end);
  const kx = Math.min(6 * cell, Math.max(Math.min(whole, cell), c.kx));
  const ky = Math.min(MOST_KY, Math.max(1, c.ky));
  const most = Math.max(0, end - (width * (1 - MARGIN)) / kx);
  return { x: Math.min(most, Math.max(0, c.x)), y: Math.min(1 - 1 / ky, Math.max(0, c.y)), kx, ky };
}

/** Zooms along the text; what is at pixel `at` stays there. */
export function zoomedX(c: Camera, factor: number, at: number, window: Window): Camera {
  const kx = inside({ ...c, kx: c.kx * factor }, window).kx;
  return { ...c, kx, x: c.x + at / c.kx - at / kx };
}

/** Zooms across the text. */
export function zoomedY(c: Camera, factor: number, at: number, window: Window): Camera {
  const height = Math.max(1, window.height);
  const ky = inside({ ...c, ky: c.ky * factor }, window).ky;
  return { ...c, ky, y: c.y + at / (c.ky * height) - at / (ky * height) };
}

/** Moves no more than it takes to see the beginning of a box. */
export function showing(c: Camera, box: { x0: number; x1: number; y0: number; y1: number }, width: number): Camera {
  const seen = width / c.kx;
  const x1 = Math.min(box.x1, box.x0 + seen / 2);
  const x = box.x0 < c.x ? box.x0 - seen * 0.1 : x1 > c.x + seen ? x1 - seen * 0.8 : c.x;
  const out = box.y1 <= c.y || box.y0 >= c.y + 1 / c.ky;
  return { ...c, x, y: out ? (box.y0 + box.y1) / 2 - 0.5 / c.ky : c.y };
}
