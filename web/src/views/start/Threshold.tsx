// The rule by which the threshold rises with the number of open paths, drawn.

const [W, H] = [340, 150];
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 16, 14, 40];

export function Threshold({ min, max, limit }: { min: number; max: number; limit: number }) {
  if (![min, max, limit].every(Number.isFinite) || limit < 1 || min > max) return null;
  const most = Math.max(max, 0.001);
  const x = (q: number) => LEFT + (q / (limit * 1.5)) * (W - LEFT - RIGHT);
  const y = (t: number) => H - BOTTOM - (t / most) * (H - TOP - BOTTOM);
  const percent = (t: number) => `${Number((t * 100).toPrecision(3))} %`;
  return (
    <figure class="rule">
      <svg width={W} height={H} viewBox={`0 0 ${W} ${H}`} aria-hidden="true">
        <path class="axis" d={`M${LEFT} ${TOP}V${H - BOTTOM}H${W - RIGHT}`} />
        <path class="guide" d={`M${LEFT} ${y(max)}H${x(limit)}V${H - BOTTOM}`} />
        <path class="curve" d={`M${x(0)} ${y(min)}L${x(limit)} ${y(max)}H${W - RIGHT}`} />
        <text x={LEFT - 6} y={y(min) + 4} text-anchor="end">
          {percent(min)}
        </text>
        {max > min && (
          <text x={LEFT - 6} y={y(max) + 4} text-anchor="end">
            {percent(max)}
          </text>
        )}
        <text x={LEFT} y={H - BOTTOM + 15} text-anchor="middle">
          0
        </text>
        <text x={x(limit)} y={H - BOTTOM + 15} text-anchor="middle">
          {limit}
        </text>
        <text x={(LEFT + W - RIGHT) / 2} y={H - 6} text-anchor="middle">
          open paths
        </text>
        <text transform={`translate(11 ${(TOP + H - BOTTOM) / 2}) rotate(-90)`} text-anchor="middle">
          threshold
        </text>
      </svg>
      <figcaption>
        A token becomes a branch if it is more likely than the threshold: {percent(min)} while few paths are open,{' '}
        {percent(max)} with {limit} or more.
      </figcaption>
    </figure>
  );
}
