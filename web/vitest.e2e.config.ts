import { defineConfig } from 'vitest/config';

// One browser and one server at a time: they share two cores with the model.
export default defineConfig({
  test: {
    include: process.env.npm_lifecycle_event === 'shots' ? ['e2e/*.shot.ts'] : ['e2e/*.test.ts'],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
