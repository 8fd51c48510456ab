// A sampler that re-weights all that is shown, without a new run.

import { PLAIN, type Sampler } from '../../lib/sampler';
import * as store from '../../state/store';

const SLIDERS: [key: keyof Sampler, name: string, min: number, max: number, step: number][] = [
  ['temperature', 'Temperature', 0.1, 2, 0.05],
  ['topK', 'Top-k', 0, 50, 1],
  ['topP', 'Top-p', 0.05, 1, 0.01],
  ['minP', 'Min-p', 0, 1, 0.01],
];

export function Sliders() {
  const sampler = store.sampler.value;
  return (
    <fieldset class="sliders">
      <legend>As a sampler would see it</legend>
      {SLIDERS.map(([key, name, min, max, step]) => {
        const text = key === 'topK' && sampler[key] === 0 ? 'all' : String(sampler[key]);
        return (
          <label key={key}>
            {name}
            <input
              type="range"
              min={min}
              max={max}
              step={step}
              value={sampler[key]}
              aria-valuetext={text}
              onInput={(e) => store.sample({ ...sampler, [key]: Number(e.currentTarget.value) })}
            />
            <output>{text}</output>
          </label>
        );
      })}
      <button type="button" class="small" disabled={sampler === PLAIN} onClick={() => store.sample(PLAIN)}>
        Reset
      </button>
    </fieldset>
  );
}
