import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

test('an abort with a valid syndrome allocates nothing', { timeout: 60_000 }, () => {
  const script = fileURLToPath(new URL('support/allocation.ts', import.meta.url))
  const options = ['--expose-gc', '--max-semi-space-size=128', '--conditions=retrap-source']
  const output = execFileSync(process.execPath, [...options, script], { encoding: 'utf8' })
  const bytes = output.trim().split('\n').map(Number)
  expect(bytes).toHaveLength(2)
  // The smallest object has 12 bytes; the runtime itself takes some thousands in all.
  for (const each of bytes) expect(each).toBeLessThan(0.5)
})
