import { defineConfig } from 'vite';

// The crate of the server packs and embeds what lies in its folder, and a crate holds no file from outside.
// One script and one style sheet with fixed names: the server embeds them, and the one-file report inlines them. The worker
// is a file for the server, and text in the script for the report; it is no module, which a page opened as a file could not start.
export default defineConfig({
  base: './',
  build: {
    outDir: '../crates/logitree-server/app',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 1_000_000,
    modulePreload: false,
    chunkSizeWarningLimit: 400,
    rolldownOptions: {
      output: { entryFileNames: 'app.js', assetFileNames: 'app.[ext]', codeSplitting: false },
    },
  },
  worker: { rolldownOptions: { output: { entryFileNames: 'matcher.js' } } },
  test: { include: ['tests/**/*.test.ts'] },
} as Parameters<typeof defineConfig>[0]);
