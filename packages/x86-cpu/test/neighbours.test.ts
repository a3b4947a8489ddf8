/** Several vCPUs that execute at the same time, each in a Worker with translations and code of its own. */
import { afterAll, expect, test } from 'vitest'
import { runScenario, SCENARIOS } from '../bench/neighbours/scenarios.ts'
import { endNeighbours } from '../bench/neighbours/threads.ts'

const execArgv = ['--conditions=retrap-source']
const WAYS = Object.keys(SCENARIOS).flatMap((name) => [false, true].map((jit) => ({ name, jit })))

afterAll(endNeighbours)

test.each(WAYS)('what another changes is seen: $name, compiled $jit', { timeout: 60_000 }, async ({ name, jit }) => {
  const { ends, wrong } = await runScenario(SCENARIOS[name]!, { rounds: 1e5, ms: 250 }, { jit, execArgv })
  expect([new Set(ends), wrong]).toEqual([new Set(['ended']), 0])
})
