import { defineConfig } from 'vitest/config';

/** What `npm run shots` and `npm run bench` run instead of the tests. */
const INCLUDE: Record<string, string> = { shots: 'e2e/*.shot.ts', bench: 'bench/*.bench.ts' };

// One browser and one server at a time: they share two cores with the model.
export default defineConfig({
  test: {
    include: [INCLUDE[process.env.npm_lifecycle_event ?? ''] ?? 'e2e/*.test.ts'],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
