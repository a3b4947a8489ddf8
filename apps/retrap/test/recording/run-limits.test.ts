/** A replay that gdb goes through ends with its session. */
import type { PcReplay } from '@retrap/machine'
import { expect, test } from 'vitest'
import { ReplayMachine } from '../../src/machine/recording/replay-machine.ts'

test.each([
  [{ timeoutMs: 1 }, 'timeout'],
  [{ signal: AbortSignal.abort() }, 'stopped'],
  [{ signal: AbortSignal.timeout(1), timeoutMs: 60_000 }, 'stopped'],
] as const)('%j: %s', async (limits, reason) => {
  const machine = new ReplayMachine({ path: 'run.rec', tell: () => {}, leave: () => {}, waits: true })
  machine.replay = { gdbTarget: async () => ({}) } as unknown as PcReplay
  await machine.gdbTarget({ kill: () => {} })
  expect(await machine.run(limits)).toEqual({ reason })
})
