// A card for each run of the server, with links to what it looks like.

import { count } from '../lib/numbers';
import { hashOf } from '../state/address';
import * as live from '../state/live';

export function Gallery() {
  return (
    <ul class="gallery">
      {live.runs.value.map((r) => (
        <li key={r.id}>
          <h3>{r.name}</h3>
          {r.kind === 'run' ? (
            <>
              {r.prompt !== r.name && <p class="gallery-prompt">{r.prompt}</p>}
              <p class="dim">
                {r.model} · {r.strategy} · {count(r.status.nodes, 'node')} · {count(r.status.completed, 'completion')} ·{' '}
                {r.status.state}
              </p>
              <p>
                <a href={hashOf(r.id, 'tree')}>Tree</a> <a href={hashOf(r.id, 'outline')}>Text</a>
              </p>
            </>
          ) : (
            <p>
              <a href={hashOf(r.id, 'outline')}>Records</a>
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}
