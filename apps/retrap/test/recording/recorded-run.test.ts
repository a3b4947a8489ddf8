/** A session and gdb share a machine that is recorded: it runs where both want that. */
import type { GdbTarget } from '@retrap/gdb'
import type { LiveDebugOptions, MachineExit } from '@retrap/machine'
import { expect, test } from 'vitest'
import { RecordedRun, type SessionRecorder } from '../../src/machine/recording/recorded-run.ts'

/** A machine that runs until it is stopped, and what its debugger was given. */
function recorded(): {
  machine: RecordedRun
  runs: () => boolean
  live: () => LiveDebugOptions
  commands: AbortController[]
} {
  let running = 0
  let given: LiveDebugOptions | undefined
  const commands: AbortController[] = []
  const machine = {
    run: async ({ signal }: { signal: AbortSignal }): Promise<MachineExit> => {
      running++
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      running--
      return { reason: 'stopped' }
    },
  }
  const target = {
    get isStopped() {
      return commands.every(({ signal }) => signal.aborted)
    },
    stop: () => commands[0]?.abort(),
  }
  const recorder = {
    machine,
    gdbTarget: async (_options: unknown, live: LiveDebugOptions) => {
      given = live
      return target as unknown as GdbTarget
    },
  }
  const recordedRun = new RecordedRun(recorder as unknown as SessionRecorder, () => new Uint8Array())
  return { machine: recordedRun, runs: () => running > 0, live: () => given!, commands }
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))

async function runAndPause(machine: RecordedRun, runs: () => boolean): Promise<void> {
  const session = new AbortController()
  const run = machine.run({ signal: session.signal })
  await turn()
  expect(runs()).toBe(true)
  session.abort()
  expect(await run).toEqual({ reason: 'stopped' })
}

test('it runs while the session runs it and gdb has it go on, and in no other case', async () => {
  const { machine, runs, live } = recorded()
  await machine.gdbTarget({ kill: () => {} })
  const command = new AbortController()
  const going = live().run!({ signal: command.signal })
  await turn()
  expect(runs()).toBe(false)
  for (let pause = 0; pause < 2; pause++) {
    await runAndPause(machine, runs)
    expect(runs()).toBe(false)
  }
  command.abort()
  expect(await going).toEqual({ reason: 'stopped' })
})

test('the session hears of its end, of a failure and of the time', async () => {
  const one = recorded()
  await one.machine.gdbTarget({ kill: () => {} })
  expect(await one.machine.run({ timeoutMs: 1 })).toEqual({ reason: 'timeout' })
  const run = one.machine.run({})
  one.live().onExit!({ reason: 'power-off' })
  expect(await run).toEqual({ reason: 'power-off' })
  const other = recorded()
  await other.machine.gdbTarget({ kill: () => {} })
  const failed = other.machine.run({})
  other.live().onFailure!(new Error('the disk is full'))
  expect(await failed.catch((error: unknown) => error)).toMatchObject({ message: 'the disk is full' })
})

test('without gdb it runs as any other', async () => {
  const { machine, runs } = recorded()
  await runAndPause(machine, runs)
  await machine.stop()
})

test('gdb’s command is ended, and one that comes meanwhile', async () => {
  const { machine, commands } = recorded()
  await machine.gdbTarget({ kill: () => {} })
  commands.push(new AbortController())
  const first = commands[0]!
  first.signal.addEventListener('abort', () => {
    if (commands.length === 1) commands.splice(0, 1, new AbortController())
  })
  const late = setTimeout(() => commands[0]!.abort(), 5000)
  await machine.stop()
  clearTimeout(late)
  expect(first.signal.aborted).toBe(true)
  expect(commands[0]!.signal.aborted).toBe(true)
})
