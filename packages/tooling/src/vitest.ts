import { defaultServerConditions } from 'vite'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

// One configuration for every package; each has a vitest.config.ts that re-exports it.
const config: ViteUserConfig = defineConfig({
  // Other packages resolve to their sources, so that tests need no build.
  ssr: { resolve: { conditions: ['retrap-source', ...defaultServerConditions] } },
  test: {
    include: ['test/**/*.test.ts'],
    maxWorkers: 2,
    // A hung test is to be found, not a slow machine.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // .scripts/test.mjs adds these up over all packages.
    reporters: ['default', ['json', { outputFile: 'temp/vitest.json' }]],
    passWithNoTests: true,
  },
})
export default config
