// What the parameters of a run are called on the page, and what each does.

export interface Parameter {
  label: string;
  what: string;
  /** Only whole numbers. */
  whole?: boolean;
  most?: number;
  least?: number;
}

export const PARAMETERS: Record<string, Parameter> = {
  min_branch_threshold: {
    label: 'Threshold while few paths are open',
    what: 'A token becomes a branch if its probability is above this (0 to 1).',
    most: 1,
  },
  max_branch_threshold: {
    label: 'Threshold while many paths are open',
    what: 'The threshold rises up to this as more paths are open (0 to 1).',
    most: 1,
  },
  soft_queue_limit: {
    label: 'Paths that are many',
    what: 'With so many open paths the threshold is at its highest.',
    whole: true,
    least: 1,
  },
  candidate_threshold: {
    label: 'List tokens above',
    what: 'More likely tokens than this are written to the file as candidates (0 to 1).',
    most: 1,
  },
  max_depth: { label: 'Depth in tokens', what: 'No path gets longer than this.', whole: true, least: 1 },
  max_completed_paths: {
    label: 'Stop after so many finished paths',
    what: 'The run ends when so many paths have reached an end token.',
    whole: true,
    least: 1,
  },
  batch: { label: 'Nodes at a time', what: 'So many nodes are looked at together.', whole: true, least: 1 },
  cover: {
    label: 'Stop when this share is finished',
    what: 'The run ends when finished paths have this probability together (0 to 1).',
    most: 1,
  },
  width: {
    label: 'Paths followed at once',
    what: 'The most likely so many paths are followed.',
    whole: true,
    least: 1,
  },
  samples: { label: 'Samples', what: 'So many texts are drawn.', whole: true, least: 1 },
  seed: { label: 'Seed', what: 'The same seed draws the same texts.', whole: true },
  temperature: { label: 'Temperature', what: 'Below 1 draws likely tokens more often, above 1 less often.' },
  top_k: { label: 'Top-k', what: 'Draws from so many tokens; 0 is all.', whole: true },
  top_p: { label: 'Top-p', what: 'Draws from the likeliest tokens that have this share together.', most: 1 },
  min_p: { label: 'Min-p', what: 'Leaves out tokens below this share of the likeliest.', most: 1 },
};

export const LIMITS = {
  max_nodes: {
    label: 'Stop after so many nodes',
    what: 'A node is one token in one place of the tree.',
    whole: true,
    least: 1,
  },
  max_seconds: { label: 'Stop after so many seconds', what: 'Empty: no limit of time.', least: 0 },
} satisfies Record<string, Parameter>;

export const STRATEGIES: Record<string, string> = {
  dynamic: 'branches wherever several tokens are likely; choosier as more paths are open',
  mass: 'always goes on from the likeliest open path, until enough probability is finished',
  beam: 'keeps the so many likeliest paths',
  sample: 'draws texts as a sampler does',
};

export const parameterOf = (name: string): Parameter => PARAMETERS[name] ?? { label: name, what: '' };

/** What is wrong with the text of a field; empty if nothing is. */
export function problemOf({ whole, most, least = 0 }: Parameter, text: string): string {
  const x = Number(text);
  if (text.trim() === '' || !Number.isFinite(x)) return 'a number is needed';
  if (whole && !Number.isInteger(x)) return 'a whole number is needed';
  if (x < least) return `at least ${least}`;
  if (most !== undefined && x > most) return `at most ${most}`;
  return '';
}

/** The server's words for a parameter, as the page calls it. */
export function inLabels(message: string): string {
  let out = message;
  const all = { ...PARAMETERS, ...LIMITS } as Record<string, Parameter>;
  for (const [name, { label }] of Object.entries(all))
    out = out.replace(new RegExp(`(?<![\\w])\`?${name}\`?(?!\\w)`, 'g'), `“${label}”`);
  return out;
}

/** The parameter that a message is about, if it names one. */
export const namedIn = (message: string): string | undefined =>
  [...Object.keys(PARAMETERS), ...Object.keys(LIMITS)].find((name) =>
    new RegExp(`(?<!\\w)${name}(?!\\w)`).test(message),
  );
