/** Drivers whose devices have faults: races are found, and a failure is replayed without its device. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Word64 } from '@retrap/device'
import { TimerQueue } from '@retrap/device/host'
import { framePacket } from '@retrap/gdb'
import { type PcOptions, replayPc } from '@retrap/machine'
import { TEST_LONG, withLong } from '@retrap/tooling/long'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect, test } from 'vitest'
import * as T from '../src/index.ts'
import { HeldActs } from '../src/faults/held-acts.ts'
import { deviceProgram, replayFailure, testFaults } from '../src/node/index.ts'
import { CopyDevice } from './support/copy-device.ts'
import { type CopyDriver, copyFirmware } from './support/copy-driver.ts'
import { countingFirmware } from './support/counting-guest.ts'

const compiles = hasProgram('gcc')
const folder = temporaryFolder('faults')
const program = join(folder, 'dma-copy')

const pcOf = (driver: CopyDriver): PcOptions => ({
  memoryBytes: 2 << 20,
  codeCacheBytes: 1 << 20,
  firmware: copyFirmware(driver),
  jit: false,
})
const copies = async (machine: T.TestMachine): Promise<void> => expect(await machine.until('\n')).toBe('ok\n')
const inTypeScript = (driver: CopyDriver): T.FaultOptions => ({
  ...{ pc: pcOf(driver), models: [() => new CopyDevice()], test: copies },
})
const inC = (driver: CopyDriver): T.FaultOptions => ({
  ...{ pc: pcOf(driver), programs: [deviceProgram(`exec:${program}`)], test: copies },
})
/** Schedules that a sound driver passes; `npm test -- --long` has all. */
const PASSED = TEST_LONG ? 200 : 20

/** Replays a recording to its end, without the device. */
async function replayed(
  file: Uint8Array,
  driver: CopyDriver,
): Promise<{ readonly printed: string; readonly instructions: number }> {
  const source = { bytes: file.length, read: async (at: number, bytes: number) => file.subarray(at, at + bytes) }
  const replay = await replayPc({ clock: 'deterministic', devicePolicy: 'detach', ...pcOf(driver) }, source)
  let printed = ''
  replay.pc.serial.onTransmit((bytes) => (printed += new TextDecoder().decode(bytes)))
  await replay.run()
  const { instructions } = replay.pc.statistics()
  replay.close()
  return { printed, instructions }
}

/** A device, and what makes the test of a driver of it. */
interface Subject {
  readonly what: string
  readonly name: string
  readonly options: (driver: CopyDriver) => T.FaultOptions
  readonly isThere: boolean
}
const TYPESCRIPT: Subject = { what: 'a device in TypeScript', name: 'copy', options: inTypeScript, isThere: true }
const C: Subject = {
  ...{ what: `a device in C${skipNote(compiles, 'gcc is not installed')}`, name: 'dma-copy' },
  ...{ options: inC, isThere: compiles },
}

const SDK = fileURLToPath(new URL('../../device-hosting/sdk/c/', import.meta.url))
const compile = (source: string, into: string): Buffer => execFileSync('gcc', ['-O0', `-I${SDK}`, source, '-o', into])
beforeAll(() => void (compiles && compile(join(SDK, 'examples/dma-copy.c'), program)))

test.skipIf(!compiles)('a device in C is put back with its machine before each test', async () => {
  const counting = join(folder, 'counting')
  compile(fileURLToPath(new URL('support/counting.c', import.meta.url)), counting)
  const deviceServers = [deviceProgram(`exec:${counting}`)()]
  const pc: PcOptions = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, firmware: countingFirmware(), deviceServers }
  const booted = await T.BootedMachine.pc({ pc, ready: '> ', bootTimeoutMs: 60_000 })
  expect(booted.notRecorded).toContain('deviceServers')
  for (let i = 0; i < 2; i++)
    await booted.run(async (machine) => {
      machine.type('dd\n')
      expect(await machine.until('\n1\n')).toBe('12\n1\n')
    })
  booted.close()
})

test.for(
  withLong<readonly [Subject, CopyDriver]>(
    [
      [C, 'reads no status'],
      [TYPESCRIPT, 'waits for a while'],
    ],
    [
      [C, 'waits for a while'],
      [TYPESCRIPT, 'reads no status'],
    ],
  ).map(([subject, driver]) => ({ ...subject, driver })),
)('the race of a driver of $what, which $driver, is found by five seeds of five', async (given, { skip, annotate }) => {
  const { isThere, options, driver } = given
  if (!isThere) skip()
  const found: number[] = []
  for (const seed of [1, 2, 3, 4, 5]) {
    const { failure, schedules } = await T.exploreFaults({ ...options(driver), seed })
    expect(failure?.faults).toHaveLength(1)
    failure?.begun.end()
    found.push(schedules)
  }
  await annotate(`schedules: ${found.join(', ')}`)
  expect(Math.max(...found)).toBeLessThanOrEqual(200)
})

describe.each([TYPESCRIPT, C])('drivers of $what', ({ name, options, isThere }) => {
  test.skipIf(!isThere)(`that are sound pass ${PASSED} schedules`, async () => {
    expect(await T.exploreFaults({ ...options('sound'), schedules: PASSED })).toEqual({
      schedules: PASSED,
      failure: undefined,
    })
  })

  test.skipIf(!isThere).each<readonly [string, readonly Omit<T.DeviceFault, 'device'>[]]>([
    [
      'late',
      [
        { act: 'dma', nth: 2, kind: 'late', ns: 4321 },
        { act: 'interrupt', nth: 3, kind: 'late', ns: 54_321 },
      ],
    ],
    ['gone', [{ act: 'timer', nth: 2, kind: 'removed' }]],
    ['without an answer', [{ act: 'write', nth: 5, kind: 'never' }]],
  ])('agree bit for bit in two runs with what is %s, and in a replay without it', async (_, given) => {
    const faults = given.map((fault) => ({ ...fault, device: name }))
    const driver = 'waits for a while'
    const runs: { readonly recording: Uint8Array; readonly printed: string; readonly instructions: number }[] = []
    for (let i = 0; i < 2; i++) {
      const { begun, stage, test: machine } = await T.runWithFaults(options(driver), faults)
      expect(stage.happened).toEqual(faults)
      const { instructions } = begun.machine.statistics()
      runs.push({ recording: (await begun.recording())!.bytes, printed: machine.printed, instructions })
      begun.end()
    }
    expect(Buffer.compare(runs[0]!.recording, runs[1]!.recording)).toBe(0)
    const { printed, instructions } = runs[0]!
    expect(await replayed(runs[0]!.recording, driver)).toEqual({ printed, instructions })
  })

  test.skipIf(!isThere)('leave a recording that needs no device, and name seed, schedule and fault', async () => {
    const outputFolder = join(folder, 'failure')
    const error = (await testFaults({ ...options('reads no status'), seed: 7, outputFolder }).catch(
      (thrown: unknown) => thrown,
    )) as Error
    expect(error).toMatchObject({ code: 'ERR_FAULT' })
    expect(error.message).toMatch(
      /^seed 7, schedule \d+ of 200 fails: expected 'bad\\n' to be 'ok\\n'.*\nIt fails with:\n- (dma-)?copy: the \d\w\w write into guest memory comes [\d.]+ [nµ]s late\nThe guest has printed:\nbad\n/,
    )
    const file = new Uint8Array(readFileSync(join(outputFolder, 'run.recording')))
    expect(await replayed(file, 'reads no status')).toMatchObject({ printed: 'bad\n' })
    // gdb comes, and leaves.
    const seen: string[] = []
    const gdb = (port: number): void => {
      const socket = connect(port, '127.0.0.1', () => void socket.write(framePacket('?')))
      socket.on('data', (bytes) => {
        seen.push(bytes.toString())
        if (seen.join('').includes('#')) socket.destroy()
      })
    }
    await replayFailure(outputFolder, { pc: pcOf('reads no status') }, { onListening: gdb })
    expect(seen.join('')).toContain('$T05')
  })
})

/** More instructions than without faults: the driver has given up waiting. */
const A_WHILE = 55_000

/** The outcome for a driver that does not wait for ever. */
async function outcome(
  fault: Omit<T.DeviceFault, 'device'>,
  driver: CopyDriver = 'waits for a while',
): Promise<string> {
  const {
    begun,
    failed,
    test: machine,
    stage,
  } = await T.runWithFaults(inTypeScript(driver), [{ device: 'copy', ...fault }])
  expect(stage.happened).toHaveLength(1)
  const waited = begun.machine.statistics().instructions > A_WHILE
  begun.end()
  expect(failed === undefined).toBe(machine.printed === 'ok\n')
  return `${machine.printed.trim()}${waited ? ' after a while' : ''}`
}

test.each<readonly [string, Omit<T.DeviceFault, 'device'>, string]>([
  ['wrong bytes in memory', { act: 'dma', nth: 2, kind: 'wrong', bits: 0x100 }, 'bad'],
  ['a lost write into memory', { act: 'dma', nth: 4, kind: 'lost' }, 'bad'],
  ['a lost interrupt', { act: 'interrupt', nth: 1, kind: 'lost' }, 'ok after a while'],
  ['a lost deadline', { act: 'timer', nth: 1, kind: 'lost' }, 'bad after a while'],
  ['a lost write', { act: 'write', nth: 1, kind: 'lost', offset: 20 }, 'bad after a while'],
  ['a wrong status', { act: 'read', nth: 2, kind: 'wrong', bits: 1, region: 'bar 0', offset: 24 }, 'ok after a while'],
  ['a read without an answer', { act: 'read', nth: 1, kind: 'never' }, 'bad after a while'],
  ['a write without an answer', { act: 'write', nth: 2, kind: 'never' }, 'bad after a while'],
  ['a device that is gone', { act: 'read', nth: 2, kind: 'removed' }, 'bad after a while'],
  ['a late write, which a later access does not pass', { act: 'write', nth: 1, kind: 'late', ns: 9e8 }, 'ok'],
  ['late bytes, which a read of the status pushes', { act: 'dma', nth: 1, kind: 'late', ns: 9e8 }, 'ok'],
])('%s', async (_, fault, expected) => {
  expect(await outcome(fault)).toBe(expected)
})

test('late acts come at exact instants, in their order, or before an access that does not pass them', () => {
  const now = { lo: 0, hi: 0 }
  const clock = { now: () => now.lo, read: (into: Word64) => void Object.assign(into, now) }
  const timers = new TimerQueue(clock)
  const came: string[] = []
  const held = new HeldActs({
    clock,
    timer: (callback) => timers.create((ns, deadline) => void callback(ns, deadline)),
  })
  const at = (time: number): readonly string[] => {
    now.lo = time
    timers.expire()
    return came.splice(0)
  }
  for (const [name, ns, pushedBy] of [
    ['dma', 500, 'reads'],
    ['interrupt', 100, 'nothing'],
    ['write', 700, 'accesses'],
  ] as const)
    held.hold(ns, pushedBy, () => came.push(name))
  expect([at(99), at(100), at(499), at(500), at(699), at(700)]).toEqual([[], ['interrupt'], [], ['dma'], [], ['write']])
  for (const [by, expected] of [
    ['write', ['accesses']],
    ['dma', ['reads']],
    ['read', ['reads', 'accesses']],
  ] as const) {
    for (const pushedBy of ['nothing', 'reads', 'accesses'] as const)
      held.hold(1000, pushedBy, () => came.push(pushedBy))
    void held.push(by)
    expect(came.splice(0)).toEqual(expected)
    held.drop()
  }
  expect(at(10_000)).toEqual([])
})

test('what cannot be is refused by a sentence', async () => {
  const base = { device: 'copy', nth: 1 } as const
  const refused = (fault: object): Promise<unknown> =>
    T.runWithFaults(inTypeScript('sound'), [{ ...base, ...fault } as T.DeviceFault])
  for (const [fault, sentence] of [
    [{ act: 'read', kind: 'late', ns: 5 }, 'the machine’s time stands still while its guest reads'],
    [{ act: 'read', kind: 'lost' }, 'a read has an answer, or none: use wrong or never'],
    [{ act: 'write', kind: 'wrong', bits: 1 }, 'wrong of write: expected read, dma'],
    [{ act: 'dma', kind: 'late' }, 'ns undefined: expected whole nanoseconds from 1 on'],
    [{ act: 'dma', kind: 'lost', offset: 4 }, 'region and offset are of reads and writes'],
    [{ act: 'dma', kind: 'lost', nth: 0 }, 'nth 0: expected a whole number from 1 on'],
    [{ act: 'dma', kind: 'lost', device: 'other' }, 'there is no such device among those of the test: copy'],
  ] as const)
    await expect(refused(fault)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringContaining(sentence),
    })
  const real = { ...inTypeScript('sound'), pc: { ...pcOf('sound'), clock: 'real' } } as const
  await expect(T.runWithFaults(real, [])).rejects.toMatchObject({ code: 'ERR_OPTION' })
  expect(() => deviceProgram('tcp:nowhere')).toThrow('expected exec:COMMAND, unix:PATH or tcp:HOST:PORT')
})

test('a seed draws the same faults each time, and others than its neighbour', () => {
  const counts = new Map([['copy', { read: 4, write: 11, interrupt: 4, dma: 4, timer: 4 }]])
  const drawn = (seed: number): T.DeviceFault[][] =>
    Array.from({ length: 20 }, (_, schedule) => T.drawFaults(seed, schedule, counts))
  expect(drawn(1)).toEqual(drawn(1))
  expect(drawn(1)).not.toEqual(drawn(2))
  const kinds = T.drawFaults(1, 1, counts, { kinds: ['never'], acts: ['read'], most: 1 })
  expect(kinds).toEqual([{ device: 'copy', act: 'read', kind: 'never', nth: expect.any(Number) }])
})
