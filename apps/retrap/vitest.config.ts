import { fileURLToPath } from 'node:url'
import config from '@retrap/tooling/vitest'

export default {
  ...config,
  test: { ...config.test, globalSetup: [fileURLToPath(new URL('test/support/command-bundle.ts', import.meta.url))] },
}
