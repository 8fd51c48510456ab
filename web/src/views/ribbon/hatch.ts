// Hatching, for what was not followed.

const SIZE = 8;

/** Diagonal lines, rising to the left or to the right; a colour where patterns cannot be made. */
export function hatch(line: string, ground: string, rising: boolean): CanvasPattern | string {
  const tile = document.createElement('canvas');
  tile.width = SIZE;
  tile.height = SIZE;
  const ctx = tile.getContext('2d');
  if (!ctx) return line;
  ctx.fillStyle = ground;
  ctx.fillRect(0, 0, SIZE, SIZE);
  ctx.strokeStyle = line;
  ctx.lineWidth = 2;
  ctx.beginPath();
  // Three lines, so that corners join with the next tile's.
  for (const shift of [-SIZE, 0, SIZE]) {
    ctx.moveTo(rising ? shift - 1 : shift + SIZE + 1, SIZE + 1);
    ctx.lineTo(rising ? shift + SIZE + 1 : shift - 1, -1);
  }
  ctx.stroke();
  return ctx.createPattern(tile, 'repeat') ?? line;
}
