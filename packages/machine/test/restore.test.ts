/** A machine that is put back to an instant of its own. */
import { setImmediate as turn } from 'node:timers/promises'
import { PAGE_BYTES } from '@retrap/memory'
import { TEST_JIT } from '@retrap/tooling/jit'
import { numbers } from '@retrap/tooling/random'
import { expect, test } from 'vitest'
import { createPc, type Pc, type PcOptions, type PcSnapshot } from '../src/index.ts'
import { CLOCKED, clocked, clockLog, clockRun } from './support/clock-guest.ts'
import { fullPc } from './support/full-machines.ts'
import { kept, someTurns } from './support/kept.ts'
import { firmwareImage, multibootKernel } from './support/kernels.ts'
import { linesOf } from './support/whole-state.ts'

async function made(options: Omit<PcOptions, 'memoryBytes'>, memoryBytes = 4 << 20): Promise<Pc> {
  return kept(await createPc({ memoryBytes, codeCacheBytes: 4 << 20, jit: TEST_JIT, ...options }))
}

test.each(CLOCKED)(
  '$machine with devices $devicePlacement: going back changes nothing that comes later',
  async (given) => {
    const expected = await clockRun(await made(clocked(given)))

    const begun = async (most: number) => {
      const pc = await made(clocked(given))
      const running = pc.run({ timeoutMs: 60_000 })
      await someTurns(Math.random() * most)
      return { pc, running, snapshot: await pc.save({ forRestore: true }).catch(() => undefined) }
    }
    let begin = await begun(60)
    // Turns of a busy host may be long enough for all that the guest does.
    for (let most = 16; begin.snapshot === undefined; most >>= 1) begin = await begun(most)
    const { pc, snapshot } = begin
    let { running } = begin
    for (let times = 0; times < 4; times++) {
      // The last time, its guest has ended it.
      await (times < 3 ? someTurns() : running)
      await pc.restore(snapshot)
      if (pc.state === 'stopped') running = pc.run({ timeoutMs: 60_000 })
    }
    expect(await running).toMatchObject({ reason: 'debug-exit' })
    expect(clockLog(pc, 0n)).toEqual(expected)
  },
)

test('a guest that has met exceptions alone is put back: their frames on its stack are gone', async () => {
  const INVALID_OPCODE = 6
  const undefinedCode = Uint8Array.from({ length: 1 << 16 }, (_, i) => (i % 2 === 0 ? 0x0f : 0x0b))
  const pc = await made({ firmware: undefinedCode, clock: 'deterministic' })
  const { guestMemory, timers } = pc.domain
  guestMemory.write(4 * INVALID_OPCODE, Uint8Array.of(0xf0, 0xff, 0x00, 0xf0))
  const snapshot = await pc.save()
  const stop = new AbortController()
  timers.create(() => stop.abort()).armAfter(1000)
  await pc.run({ signal: stop.signal, timeoutMs: 60_000 })
  const stack = new Uint8Array(PAGE_BYTES)
  const isEmpty = (): boolean => guestMemory.read(0xf000, stack) && stack.every((byte) => byte === 0)
  expect([pc.domain.instructions, isEmpty()]).toEqual([0, false])
  await pc.restore(snapshot)
  expect(isEmpty()).toBe(true)
})

/** The ways of a machine to an instant of its own: each returns what goes back. */
const WAYS = {
  snapshot: async (pc: Pc) => {
    const snapshot = await pc.save({ forRestore: true })
    return () => pc.restore(snapshot)
  },
  checkpoint: async (pc: Pc) => {
    const checkpoint = await pc.checkpoint()
    return () => checkpoint.reset()
  },
}

test.each([
  ['pc', 'snapshot'],
  ['q35', 'snapshot'],
  ['pc', 'checkpoint'],
  ['q35', 'checkpoint'],
] as const)('every device of a %s goes back to a %s', async (machine, way) => {
  const firmware = firmwareImage((asm) => void asm.jmp(asm.here()))
  const pc = await made({ ...fullPc(machine), firmware }, 16 << 20)
  const random = numbers(20261122)
  /** Writes to registers as a guest without a plan does. */
  const disturb = async (): Promise<void> => {
    const { dispatch } = pc.domain
    for (let i = 0; i < 300; i++) {
      const port = [0x1f0, 0x3c0, 0x3f0, 0x60, 0x40, 0x70, 0x20, 0xa0, 0x2f8, 0x3f8, 0xcf8, 0][random(12)]! + random(16)
      const isExcluded = port === 0xcf9 || port === 0x64 || port === 0x92
      const status = isExcluded ? 0 : dispatch.portWriteOrSend(0, port, 1, random(256))
      for (let left = status; left === 2; left = dispatch.requests.take(0)) await turn()
    }
    for (const bdf of Array.from({ length: 256 }, (_, i) => i)) pc.domain.devices.functions.write(bdf, 4, 2, random(8))
    pc.domain.guestMemory.write(0x20_0000 + 4096 * random(1000), Uint8Array.of(random(256)))
  }
  await disturb()
  const before = linesOf(await pc.save())
  const goBack = await WAYS[way](pc)
  for (let times = 0; times < 2; times++) {
    await disturb()
    expect(linesOf(await pc.save())).not.toEqual(before)
    await goBack()
    expect(linesOf(await pc.save())).toEqual(before)
  }
})

/** A machine whose PCI configuration address says its host bridge, and where it is after each verb. */
const JOURNEYS: Record<string, (pc: Pc, options: Omit<PcOptions, 'memoryBytes'>) => Promise<Pc>> = {
  'a snapshot in another machine': async (pc, options) =>
    made({ ...options, snapshot: structuredClone(await pc.save()) }),
  'a snapshot of its own': async (pc) => {
    const snapshot = await pc.save()
    pc.domain.dispatch.portWrite(0xcf8, 4, 0)
    await pc.restore(snapshot)
    return pc
  },
  'a checkpoint': async (pc) => {
    const checkpoint = await pc.checkpoint()
    pc.domain.dispatch.portWrite(0xcf8, 4, 0)
    await checkpoint.reset()
    return pc
  },
  'a fork': async (pc) => {
    return kept(await pc.fork())
  },
}

test.each(Object.entries(JOURNEYS))('ports of PCI configuration go on after %s', async (_, go) => {
  const kernel = multibootKernel((asm) => void asm.hlt())
  const options = { kernel, clock: 'deterministic', forks: { clones: 1, writtenBytes: 1 << 20 } } as const
  const pc = await made(options)
  pc.domain.dispatch.portWrite(0xcf8, 4, 0x8000_0000)
  const { dispatch } = (await go(pc, options)).domain
  dispatch.portRead(0xcfc, 4)
  expect(dispatch.lo).toBe(0x1237_8086)
})

test('a snapshot from before the configuration address was saved can be restored', async () => {
  const options = { kernel: multibootKernel((asm) => void asm.hlt()), clock: 'deterministic' } as const
  const pc = await made(options)
  const { state, pages } = await pc.save()
  const { io: _, ...domain } = state.domain
  const old = { state: { ...state, domain }, pages }
  pc.domain.dispatch.portWrite(0xcf8, 4, 0x8000_0000)
  await pc.restore(old)
  expect(pc.domain.dispatch.config.value).toBe(0)
  await made({ ...options, snapshot: structuredClone(old) })
})

/** A guest that writes a page with its number and goes on to the next, as long as there is RAM. */
const writing = (): Omit<PcOptions, 'memoryBytes'> => ({ kernel: multibootKernel((asm) => void asm.jmp(asm.here())) })

test('only what was written is brought back, whichever of its snapshots it goes to', async () => {
  const pc = await made(writing(), 64 << 20)
  const { guestMemory, memory, p2m } = pc.domain
  const put = (page: number, value: number): void =>
    void guestMemory.write((32 << 20) + page * PAGE_BYTES, Uint8Array.of(value))
  const get = (page: number): number => {
    const into = new Uint8Array(1)
    guestMemory.read((32 << 20) + page * PAGE_BYTES, into)
    return into[0]!
  }
  await pc.run({ timeoutMs: 20 })
  const values = (): number[] => Array.from({ length: 8 }, (_, page) => get(page))
  const snapshots: [PcSnapshot, number[]][] = []
  for (let i = 1; i < 5; i++) {
    put(i, i)
    put(0, i)
    put(7, 2 * i)
    snapshots.push([await pc.save({ forRestore: true }), values()])
  }
  // What nobody has been told of is not brought back.
  const unknown = p2m.translate((48 << 20) + 123)
  memory.u8[unknown] = 0x55
  for (const at of [3, 0, 2, 1, 3, 3, 0]) {
    put(7, 99)
    const [snapshot, expected] = snapshots[at]!
    await pc.restore(snapshot)
    // Before the rest has been brought, at times.
    if (at !== 3) expect(values()).toEqual(expected)
  }
  expect(memory.u8[unknown]).toBe(0x55)
  // Another's: all is looked at.
  await pc.restore(structuredClone(snapshots[2]![0]))
  expect(values()).toEqual(snapshots[2]![1])
  expect((await pc.save()).pages).toEqual(snapshots[2]![0].pages)
  expect(memory.u8[unknown]).toBe(0)
  // And the others know of it.
  await pc.restore(snapshots[1]![0])
  expect((await pc.save()).pages).toEqual(snapshots[1]![0].pages)
})

test('a save since an earlier one has what was written alone, also when the machine has gone back', async () => {
  const pc = await made(writing(), 64 << 20)
  const put = (page: number): void => void pc.domain.guestMemory.write((32 + page) << 20, Uint8Array.of(page))
  // Of RAM below 1 MiB, and of ROM, it is not known.
  const since = async (before: PcSnapshot): Promise<PcSnapshot & { readonly written: number[] }> => {
    const snapshot = await pc.save({ forRestore: true, since: before.pages })
    expect(snapshot.pages.onlyWritten).toBe(true)
    const { gfns } = snapshot.pages
    return {
      ...snapshot,
      written: [...gfns].filter((gfn) => gfn >= 0x100 && gfn < 64 << 8).map((gfn) => (gfn >> 8) - 32),
    }
  }
  put(1)
  const first = await pc.save({ forRestore: true })
  put(2)
  const second = await since(first)
  expect(second.written).toEqual([2])
  await pc.restore(first)
  put(3)
  expect((await since(first)).written).toEqual([3])
  expect((await since(second)).written).toEqual([2, 3])
  await expect(pc.restore(second)).rejects.toThrow('only the frames written since an earlier instant are here')
  // Another machine's: all is saved.
  const other = await made(writing(), 64 << 20)
  expect((await other.save({ forRestore: true, since: first.pages })).pages.onlyWritten).toBeUndefined()
})

test('what does not fit leaves the machine as it was, and it runs on', async () => {
  const pc = await made(writing())
  const snapshot = await pc.save()
  const end = new AbortController()
  const running = pc.run({ signal: end.signal, timeoutMs: 60_000 })
  const { machine, domain } = snapshot.state
  for (const state of [
    { ...snapshot.state, version: 2 },
    { ...snapshot.state, machine: { ...machine, cpus: 3 } },
    { ...snapshot.state, domain: { ...domain, devices: { ...domain.devices, local: { version: 2 } } } },
    { ...snapshot.state, domain: { ...domain, vcpus: [] } },
  ]) {
    await expect(pc.restore({ ...snapshot, state } as never)).rejects.toMatchObject({ code: 'ERR_SNAPSHOT' })
  }
  expect(pc.state).toBe('running')
  const { instructions } = pc.domain
  await expect.poll(() => pc.domain.instructions).toBeGreaterThan(instructions)
  end.abort()
  expect(await running).toEqual({ reason: 'stopped' })
  pc.close()
  await expect(pc.restore(snapshot)).rejects.toMatchObject({ code: 'ERR_STATE' })
})

test('a machine whose RAM cannot be put back is closed', async () => {
  const pc = await made(writing())
  const snapshot = await pc.save()
  const running = pc.run({ timeoutMs: 60_000 })
  const pages = { ...snapshot.pages, bytes: snapshot.pages.bytes.subarray(1) }
  await expect(pc.restore({ ...snapshot, pages })).rejects.toMatchObject({ code: 'ERR_SNAPSHOT' })
  expect(await running).toEqual({ reason: 'stopped' })
  await expect(pc.restore(snapshot)).rejects.toMatchObject({ code: 'ERR_STATE' })
})

test('what a device model has mapped before is looked up anew after a way back', async () => {
  const pc = await made({ firmware: firmwareImage((asm) => void asm.jmp(asm.here())), jit: false }, 64 << 20)
  const gpa = 32 << 20
  pc.domain.guestMemory.write(gpa, Uint8Array.of(1))
  await pc.run({ timeoutMs: 1 })
  const snapshot = await pc.save({ forRestore: true })
  const device = pc.domain.platform.openMemory!('test')
  device.write(gpa, Uint8Array.of(2))
  await pc.restore(snapshot)
  const byte = new Uint8Array(1)
  // At once: the rest of RAM is not there yet.
  device.read(gpa, byte)
  expect(byte[0]).toBe(1)
})
