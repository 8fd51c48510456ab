// Why the model cannot be asked about the shown run, in a sentence that says what helps.

import { harmless } from '../lib/visible';
import { connection, server, status } from './live';
import { type RunDocument, runDocument } from './store';

/** What a view wants of the model: any that made the run, or one whose inside can be looked at. */
export type Need = 'model' | 'inside';

/** Why there is nothing to ask; null if there is. */
export function lacking(need: Need): string | null {
  const document = runDocument.value;
  if (!document) return 'No run is shown.';
  const made = harmless(document.run.header.model.name);
  const loaded = server.value?.model;
  if (!server.value)
    return `This page shows a run without the model that made it. Open the run’s file with “logitree serve”, with ${made} as its model.`;
  if (!loaded)
    return `This server has no model and only shows files. Start “logitree serve” with ${made} as its model.`;
  if (connection.value === 'gone') return 'This run was deleted: the server no longer has it.';
  if (connection.value === 'locked') return 'The server asks for its token again: open the link that it printed.';
  if (!document.live)
    return `This file is on this page only, and no model is asked about it. Drop it again to keep it on the server.`;
  if (status.value?.state === 'imported')
    return `This run was not made by a model of logitree: “Grow this with ${harmless(loaded.name)}” makes one that was.`;
  if (loaded.sha256 !== document.run.header.model.sha256)
    return `This run was made by ${made}, and ${harmless(loaded.name)} is loaded. Load ${made} on the first page (“with … ▾”), or grow the prompt with the loaded model.`;
  if (need === 'inside' && !loaded.local)
    return `${harmless(loaded.name)} answers from a server that tells only what the model says at its end. Start logitree with a model of its own (-m) to look inside.`;
  return null;
}

/** Why two runs' distributions cannot be compared over the whole vocabulary; null if they can. The first is the shown one. */
export function lackingToCompare(a: RunDocument, b: RunDocument): string | null {
  const first = lacking('inside');
  if (first !== null) return first;
  if (a === b || samePrompt(a, b))
    return 'Both come from one model and one prompt, so it expects the same after the same tokens: their divergence is 0.';
  const [ours, theirs] = [a.run.header.model, b.run.header.model];
  if (!b.live) return 'B is a file on this page only: drop it again to keep it on the server.';
  if (theirs.sha256 !== ours.sha256)
    return `B was made by ${harmless(theirs.name)}, and only ${harmless(ours.name)} is loaded: “logitree compare” compares two models.`;
  return null;
}

const samePrompt = (a: RunDocument, b: RunDocument): boolean => {
  const of = ({ run: { header } }: RunDocument) =>
    `${header.model.sha256} ${header.prompt.tokens.map((t) => t.id).join()}`;
  return of(a) === of(b);
};
