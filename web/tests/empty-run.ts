// A run without nodes, for tests to feed.

import type { Header } from '../src/lib/format';
import { Run } from '../src/lib/run';

export const HEADER: Header = {
  type: 'header',
  format: 'logitree-run',
  version: 1,
  logitree: '0',
  created: '',
  model: {
    name: 'm',
    sha256: '',
    architecture: '',
    dtype: '',
    tokenizer: '',
    vocab: 100,
    context: 100,
    end_tokens: [99],
  },
  engine: '',
  prompt: { text: 'p', tokens: [], bos: false, chat: false },
  strategy: 'dynamic',
  parameters: {},
};

export const emptyRun = (prompt = HEADER.prompt.text): Run =>
  new Run({ ...HEADER, prompt: { ...HEADER.prompt, text: prompt } });
