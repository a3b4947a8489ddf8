/** Guests of Xen in clones, in other machines, and at earlier instants. */
import { setImmediate as turn } from 'node:timers/promises'
import { defineDevice } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { saveDomain } from '@retrap/hvm'
import { openRecording } from '@retrap/recording'
import { TEST_JIT } from '@retrap/tooling/jit'
import { expect, test } from 'vitest'
import { createPc, type Pc, type PcForkOptions, type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { EXIT_PORT } from './support/clock-guest.ts'
import { kept } from './support/kept.ts'
import { ROUND_PORT, xenKernel } from './support/xen-kernel.ts'
import { linesOf } from './support/whole-state.ts'

/** What a machine's guest needs beside Xen. @param round - called when the guest begins a round */
function devices(round: () => Promise<void> = () => Promise.resolve()): PcForkOptions {
  const rounds = defineDevice({
    name: 'rounds',
    stateless: true,
    deterministic: true,
    ports: { base: ROUND_PORT, size: 1 },
    write: round,
  })
  return { devices: [new DebugExit({ iobase: EXIT_PORT }), rounds] }
}

const options = (): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  jit: TEST_JIT,
  forks: { clones: 8, writtenBytes: 4 << 20 },
  hypervisor: 'xen',
  clock: 'deterministic',
  kernel: xenKernel,
  ...devices(),
})

/** A machine, and what its guest prints on Xen's console from now on. */
interface Watched {
  readonly pc: Pc
  readonly printed: () => string
}

function watched(pc: Pc): Watched {
  kept(pc)
  const pieces: Uint8Array[] = []
  pc.xenConsole.onTransmit((bytes) => void pieces.push(bytes))
  return { pc, printed: () => Buffer.concat(pieces).toString('latin1') }
}

const made = async (more: Partial<PcOptions> = {}): Promise<Watched> =>
  watched(await createPc({ ...options(), ...more }))

/** Begins something in a round of a guest's loop, from 1 on: the guest waits until it has been asked for. */
function inRound<T>(at: number, action: () => Promise<T>): { readonly round: () => Promise<void>; done: Promise<T> } {
  let rounds = 0
  const begun = Promise.withResolvers<T>()
  return {
    done: begun.promise,
    round: async () => {
      if (++rounds !== at) return
      void action().then(begun.resolve, begun.reject)
      for (let i = 0; i < 20; i++) await turn()
    },
  }
}

/** Runs a machine, and does something in the middle. */
async function disturbed<T>(
  at: number,
  action: (machine: Watched) => Promise<T>,
): Promise<Watched & { readonly done: T }> {
  const { round, done } = inRound(at, () => action(machine))
  const machine = await made(devices(round))
  // What is loaded on demand is there.
  await machine.pc.save()
  await machine.pc.fork(devices()).then((clone) => clone.close())
  await machine.pc.checkpoint().then((checkpoint) => checkpoint.close())
  await run(machine.pc)
  return { ...machine, done: await done }
}

const run = (pc: Pc): ReturnType<Pc['run']> => pc.run({ timeoutMs: 60_000 })

/** A run that nothing disturbs. */
async function undisturbed(): Promise<{ readonly text: string; readonly end: readonly string[] }> {
  const machine = await made()
  expect(await run(machine.pc)).toMatchObject({ reason: 'debug-exit' })
  const text = machine.printed()
  // Letters, which follow from what the store has answered.
  expect(text).toMatch(/^[a-p]{40,}$/)
  expect(new Set(text).size).toBeGreaterThan(10)
  expect(Number(machine.pc.xen?.store.read('/local/domain/1/data/a'))).toBeGreaterThan(3)
  return { text, end: linesOf(await saveDomain(machine.pc.domain, 1000)) }
}

test('a guest of Xen, its clones and theirs go on as it does undisturbed', async () => {
  const { text, end } = await undisturbed()
  const first = await disturbed(9, async ({ pc }) => watched(await pc.fork(devices())))
  const clone = first.done
  const others = [watched(await clone.pc.fork(devices()))]
  // Of one that runs: a clone of a clone.
  const { round, done } = inRound(11, () => middle.pc.fork(devices()))
  const middle = watched(await clone.pc.fork(devices(round)))
  await Promise.all([clone, middle, ...others].map(({ pc }) => run(pc)))
  others.push(watched(await done))
  await run(others[1]!.pc)
  expect(first.printed()).toBe(text)
  const printed = [clone, middle, ...others].map((machine) => machine.printed())
  // What was printed before is the other's.
  for (const each of printed) expect(text.endsWith(each)).toBe(true)
  expect(printed[0]!.length).toBeLessThan(text.length - 7)
  expect(printed[3]!.length).toBeLessThan(printed[0]!.length - 7)
  for (const machine of [first, clone, middle, ...others]) {
    expect(linesOf(await saveDomain(machine.pc.domain, 1000))).toEqual(end)
  }
})

test('a snapshot has Xen’s state with the store, for other machines and for its own', async () => {
  const { text, end } = await undisturbed()
  const first = await disturbed(12, ({ pc }) => pc.save({ forRestore: true }))
  const snapshot = first.done
  expect(snapshot.state.domain.hypervisor).toMatchObject({ version: 3, domainId: 1 })
  expect(linesOf(await saveDomain(first.pc.domain, 1000))).toEqual(end)

  const other = await made({ snapshot: structuredClone(snapshot) })
  await run(other.pc)
  expect(text.endsWith(other.printed())).toBe(true)
  expect(other.printed().length).toBeLessThan(text.length - 10)
  expect(linesOf(await saveDomain(other.pc.domain, 1000))).toEqual(end)
  // In its own memory, twice: what the store and the rings have had meanwhile is gone.
  for (let i = 0; i < 2; i++) {
    const printed = first.printed().length
    await first.pc.restore(snapshot)
    first.pc.xen!.store.write('/local/domain/1/data/more', 'seen')
    await first.pc.restore(snapshot)
    expect(first.pc.xen!.store.read('/local/domain/1/data/more')).toBeUndefined()
    await run(first.pc)
    expect(first.printed().slice(printed)).toBe(other.printed())
    expect(linesOf(await saveDomain(first.pc.domain, 1000))).toEqual(end)
  }
})

test('a checkpoint puts the store and the rings back, as often as wanted', async () => {
  const { end } = await undisturbed()
  const { pc, done: checkpoint } = await disturbed(8, (machine) => machine.pc.checkpoint())
  for (let i = 0; i < 3; i++) {
    expect(linesOf(await saveDomain(pc.domain, 1000))).toEqual(end)
    await checkpoint.reset()
    // A clone of what has gone back goes on as well.
    const clone = i === 1 ? watched(await pc.fork(devices())) : undefined
    await run(pc)
    if (clone === undefined) continue
    await run(clone.pc)
    expect(linesOf(await saveDomain(clone.pc.domain, 1000))).toEqual(end)
  }
  checkpoint.close()
})

test('closed clones give all of their memory back, Xen’s pages too', async () => {
  const { pc, done: clone } = await disturbed(9, (machine) => machine.pc.fork(devices()))
  const { frames } = pc.memory
  const free: number[] = []
  for (let i = 0; i < 3; i++) {
    const other = watched(await clone.fork(devices()))
    await run(other.pc)
    other.pc.close()
    // The next fork waits until the memory is free.
    const next = await clone.fork(devices())
    free.push(frames.freeFrames)
    next.close()
  }
  clone.close()
  expect(free[2]).toBe(free[1])
})

/** Gives a field of plain data another value. @param path - names and indexes, with dots between */
function put(data: object, path: string, value: unknown): void {
  const names = path.split('.')
  const last = names.pop()!
  let at = data as Record<string, unknown>
  for (const name of names) at = at[name] as Record<string, unknown>
  expect(at).toHaveProperty([last])
  at[last] = value
}

test('a snapshot that no guest of Xen has made is refused, and nothing has changed', async () => {
  const { pc, done: snapshot } = await disturbed(9, (machine) => machine.pc.save())
  const changes: readonly (readonly [message: string, path: string, value: unknown])[] = [
    ['saw no hypervisor', '', null],
    ['state.version', '.version', 2],
    ['ring.incoming', '.services.ring.incoming', new Uint8Array(17).fill(0xff)],
    ['nodes[0].depth', '.services.store.nodes.0.depth', 1],
    ['info.vcpuInfo', '.events.info.vcpuInfo.0', 0x700_0040],
    ['places in the page', '.events.info.vcpuInfo.0', -0x1fc4],
    ['the place of a page', '.sharedInfo.gfn', 0x100],
    ['grants.mappings', '.grants.mappings.0.ref', 11],
    ['grants.uses', '.grants.uses.0.at', 0x5000],
    ['vcpus: a period', '.events.vcpus.0.period', { lo: 1, hi: 0 }],
    ['state.parameters', '.parameters', ['1']],
  ]
  for (const [message, path, value] of changes) {
    const bad = structuredClone(snapshot)
    put(bad.state.domain, `hypervisor${path}`, value)
    await expect(pc.restore(bad)).rejects.toMatchObject({
      code: 'ERR_SNAPSHOT',
      message: expect.stringContaining(message) as string,
    })
  }
  const { end } = await undisturbed()
  expect(linesOf(await saveDomain(pc.domain, 1000))).toEqual(end)
})

test('a recording has checkpoints, and each place is the same by whichever it is reached', async () => {
  const often = { checkpointMs: 0.01 }
  const recorded = (): PcOptions => ({ ...options(), forks: undefined, ...devices() })
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(recorded(), (piece) => void pieces.push(piece.slice()), often)
  const { pc } = watched(recorder.pc)
  expect(await run(pc)).toMatchObject({ reason: 'debug-exit' })
  await recorder.end()
  const file = new Uint8Array(Buffer.concat(pieces))
  const source = { bytes: file.length, read: (offset: number, bytes: number) => file.subarray(offset, offset + bytes) }
  expect((await openRecording(source)).checkpoints.length).toBeGreaterThan(2)
  const without = await replayPc(recorded(), source, { checkpointMs: Infinity })
  const atEnd = await replayPc(recorded(), source, { at: 'end' })
  kept(without.pc)
  kept(atEnd.pc)
  const places = [0.3, 0.6, 0.9].map((part) => Math.floor(without.end * part))
  const seen: unknown[] = []
  for (const place of places) {
    await without.goto(place)
    seen.push(await without.pc.save())
  }
  for (const [i, place] of [...places.entries()].toReversed()) {
    expect(await atEnd.goto(place)).toEqual({ reason: 'arrived' })
    expect(await atEnd.pc.save()).toEqual(seen[i])
  }
})
