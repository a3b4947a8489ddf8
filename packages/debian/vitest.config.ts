import { defineConfig, type ViteUserConfig } from 'vitest/config'

// Its own, because @retrap/tooling stands on this package.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    reporters: ['default', ['json', { outputFile: 'temp/vitest.json' }]],
  },
})
export default config
