// Which model the server has loaded, and loading another one.

import { computed } from '@preact/signals';
import * as api from './api';
import { server } from './live';
import { say } from './toasts';

/** Milliseconds between two looks at how a model comes. */
const LOOK = 300;

/** What is being loaded, and what is being done for it. */
export const coming = computed(() => {
  const loading = server.value?.loading;
  return loading && loading.error === null ? loading : null;
});

let watching = false;

/** Looks until the model that is being loaded is there, or not to be had; another page may have asked for it. */
export async function watch(): Promise<void> {
  if (watching) return;
  watching = true;
  try {
    while (coming.value) {
      const { name } = coming.value;
      await new Promise((done) => setTimeout(done, LOOK));
      // A server that does not answer for a moment is asked again; one that went away is told by the run's stream.
      const now = await api.server().catch(() => null);
      if (!now) continue;
      server.value = now;
      if (now.loading?.error) say(`${name} is not loaded: ${now.loading.error}`, 'bad');
      else if (!now.loading && now.model) say(`${now.model.name} is loaded.`);
    }
  } finally {
    watching = false;
  }
}

/** Puts another model in the place of the one that is there. */
export async function load(name: string): Promise<void> {
  try {
    const loading = await api.load(name);
    if (server.value) server.value = { ...server.value, loading };
  } catch (e) {
    say(`${name} is not loaded: ${(e as Error).message}`, 'bad');
    return;
  }
  await watch();
}
