import { fileURLToPath } from 'node:url'
import type { TestProjectInlineConfiguration } from 'vitest/config'
import { togetherBut, withMadeOnce } from '@retrap/tooling/vitest'

// Files of tests that replace a module.
const config = togetherBut('test/flags/fetched-files.test.ts', 'test/qemu/tutorials.test.ts')
const bundle = fileURLToPath(new URL('test/support/command-bundle.ts', import.meta.url))
const { projects = [], ...test } = config.test ?? {}
const [together, alone] = projects as TestProjectInlineConfiguration[]

export default {
  ...config,
  test: {
    ...test,
    projects: [
      {
        ...together,
        test: {
          ...together?.test,
          globalSetup: [...(withMadeOnce.test?.globalSetup ?? []), bundle],
          // Workers that a machine of a test starts resolve other packages to their sources as well.
          execArgv: [...(test.execArgv ?? []), '--conditions=retrap-source'],
        },
      },
      alone,
    ],
  },
}
