/** When the guest of a session waits for the host on deterministic time: `--pace`, or where a person types. */
import { expect, test } from 'vitest'
import { SessionRecording } from '../../src/machine/recording/session-recording.ts'
import type { Machine, MachineOptions } from '@retrap/linux-guest/machine/machine-contract'

test.each([
  { terminal: true, pace: undefined, paced: true },
  { terminal: true, pace: false, paced: false },
  { terminal: false, pace: undefined, paced: false },
  { terminal: false, pace: true, paced: true },
])('terminal $terminal, --pace $pace: $paced', async ({ terminal, pace, paced }) => {
  const recording = new SessionRecording(
    { arguments: [], ...(pace !== undefined && { keepsPace: pace }) },
    terminal,
    () => undefined,
    () => undefined,
  )
  const made: MachineOptions[] = []
  const create = async (options: MachineOptions): Promise<Machine> => {
    made.push(options)
    return {} as Machine
  }
  const options: MachineOptions = {
    memoryBytes: 1,
    cpus: 1,
    clock: 'deterministic',
    devices: [],
    deviceServers: [],
  } as never
  await recording.create(options, create)
  expect(made[0]!.keepsPace).toBe(paced)
})
