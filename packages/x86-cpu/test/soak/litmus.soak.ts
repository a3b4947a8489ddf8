/** Litmus tests of vCPUs in threads, 10,000,000 rounds of each: a step is one way to execute them, by one version of Node. */
import type { Soak } from '@retrap/tooling/soak'
import { LITMUS_ROWS, runLitmusRow } from '../support/neighbours/litmus.ts'

const seen: string[] = []

/** See the file's comment. */
export const soak: Soak = {
  name: 'litmus',
  count: LITMUS_ROWS.length,
  async step(_rng, index) {
    const { lines, wrong } = await runLitmusRow(LITMUS_ROWS[index % LITMUS_ROWS.length]!, 10_000_000)
    seen.push(...lines)
    if (wrong.length > 0) return wrong.join('\n')
  },
  summary: () => seen.join('\n'),
}
