// The model that grows what is written, and a list to choose another from.

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { harmless } from '../../lib/visible';
import * as api from '../../state/api';
import * as live from '../../state/live';
import { coming, load, watch } from '../../state/model';
import { Menu } from '../Menu';

const size = (bytes: number): string =>
  bytes < 1e9 ? `${Math.max(1, Math.round(bytes / 1e6))} MB` : `${(bytes / 1e9).toFixed(1)} GB`;

/** The end of a path says which model it is; the whole path stands in the title. An address is not cut. */
const short = (name: string): string => harmless(name.includes('://') ? name : name.split('/').slice(-2).join('/'));

/** Whether a model of the list is the one that is there. */
const isIt = (m: api.Candidate, model: NonNullable<api.ServerInfo['model']>): boolean =>
  m.engine ? !model.local : model.local && m.name === model.name;

export function Model({ model }: { model: NonNullable<api.ServerInfo['model']> }) {
  const found = useSignal<api.Candidate[]>([]);
  const canChoose = live.server.value?.can_choose === true;
  const isComing = coming.value !== null;
  useEffect(() => {
    watch();
    // Without the list, the model that is there can still be used: its name is shown alone.
    if (canChoose && !isComing)
      api
        .models()
        .then((all) => (found.value = all))
        .catch(() => {});
  }, [canChoose, isComing]);

  if (coming.value)
    return (
      <span class="dim model" role="status">
        Loading {short(coming.value.name)}: {harmless(coming.value.message)}…
      </span>
    );
  const about = [model.dtype, model.engine].filter(Boolean).join(' · ');
  if (!canChoose || found.value.length === 0)
    return (
      <span class="dim model" title={about}>
        with {short(model.name)}
      </span>
    );
  return (
    <div class="model" title={about}>
      <Menu label={`with ${short(model.name)}, choose another model`} sign={`with ${short(model.name)} ▾`}>
        {(close) => (
          <>
            {found.value.map((m) => (
              <button
                key={m.name}
                type="button"
                role="menuitemradio"
                aria-checked={isIt(m, model)}
                title={harmless(m.name)}
                onClick={() => {
                  close();
                  if (!isIt(m, model)) load(m.name);
                }}
              >
                {short(m.name)}
                <small>
                  {[m.about, m.engine ? '' : size(m.bytes), m.here ? '' : 'fetched first'].filter(Boolean).join(' · ')}
                </small>
              </button>
            ))}
            <p class="dim">Others: logitree serve --models FOLDER, --engine URL</p>
          </>
        )}
      </Menu>
    </div>
  );
}
