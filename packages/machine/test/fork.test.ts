/** Machines that are forked: clones share RAM with the machine that they come from. */
import { MemoryStorage, RawImage } from '@retrap/block'
import { type BlockBackend, defineDevice } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { TEST_JIT } from '@retrap/tooling/jit'
import { type Assembler, dword, edi, imm32 } from '@retrap/x86-assembler'
import { sliced } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { cloneOptions, freezeMedia, withFreezableMedia } from '../src/fork/clone-options.ts'
import * as M from '../src/index.ts'
import { CLOCKED, clocked, clockFirmware, clockLog, clockRun, EXIT_PORT } from './support/clock-guest.ts'
import { fullPc } from './support/full-machines.ts'
import { kept, someTurns } from './support/kept.ts'
import { firmwareImage, multibootKernel } from './support/kernels.ts'
import { linesOf } from './support/whole-state.ts'

async function made(options: Omit<M.PcOptions, 'memoryBytes'>, memoryBytes = 4 << 20): Promise<M.Pc> {
  const forks = { clones: 8, writtenBytes: memoryBytes }
  return kept(await M.createPc({ memoryBytes, codeCacheBytes: 4 << 20, jit: TEST_JIT, forks, ...options }))
}

async function cloned(pc: M.Pc, options?: M.PcForkOptions): Promise<M.Pc> {
  return kept(await pc.fork(options))
}

test.each(sliced(CLOCKED, 3))(
  '$machine with devices $devicePlacement: clones and theirs go on as the machine does',
  async (given) => {
    const exit = (): M.PcForkOptions => ({ devices: [new DebugExit({ iobase: EXIT_PORT })] })
    const undisturbed = await made(clocked(given))
    const expected = await clockRun(undisturbed)
    const end = linesOf(await saved(undisturbed))

    const all = [await made(clocked(given))]
    const runs = [all[0]!.run({ timeoutMs: 60_000 })]
    for (let i = 0; i < 5; i++) {
      await someTurns()
      const source = all[Math.floor(Math.random() * all.length)]!
      const clone = await source.fork(exit()).catch(() => undefined)
      // Its guest has ended it.
      if (clone === undefined) continue
      kept(clone)
      all.push(clone)
      runs.push(clone.run({ timeoutMs: 60_000 }))
    }
    for (const [i, pc] of all.entries()) {
      expect(await runs[i]).toMatchObject({ reason: 'debug-exit' })
      expect(clockLog(pc, 0n)).toEqual(expected)
      expect(linesOf(await saved(pc))).toEqual(end)
    }
  },
)

/** RAM of a machine that its guest has ended. */
async function saved(pc: M.Pc): Promise<M.PcSnapshot> {
  const { saveDomain } = await import('@retrap/hvm')
  return { ...(await saveDomain(pc.domain, 1000)) } as unknown as M.PcSnapshot
}

test.each(sliced(['pc', 'q35'] as const, 2))(
  'a clone of a %s has every device as it was, and all of it is given back',
  async (machine) => {
    const firmware = firmwareImage((asm) => void asm.jmp(asm.here()))
    const pc = await made({ ...fullPc(machine), firmware }, 16 << 20)
    pc.domain.guestMemory.write(0x40_0000, new Uint8Array(100_000).fill(7))
    const { frames } = pc.memory
    const first = await cloned(pc)
    expect(linesOf(await first.save())).toEqual(linesOf(await pc.save()))
    first.close()
    const left: number[] = []
    for (let times = 0; times < 3; times++) {
      const second = await cloned(pc)
      const third = await cloned(second)
      second.close()
      third.domain.guestMemory.write(0x40_0000, new Uint8Array(100_000).fill(8))
      third.close()
      await someTurns(50)
      left.push(frames.freeFrames)
    }
    // Regions of processors are kept for the next clones.
    expect(left).toEqual([left[0], left[0], left[0]])
  },
)

test('a clone on the host’s clock has the time of its machine', async () => {
  const pc = await made({ firmware: clockFirmware('periodic'), devices: [new DebugExit({ iobase: EXIT_PORT })] })
  const clone = await cloned(pc, { devices: [new DebugExit({ iobase: EXIT_PORT })] })
  const theirs = await cloned(clone, { devices: [new DebugExit({ iobase: EXIT_PORT })] })
  const times = [pc, clone, theirs, pc, clone].map(({ domain }) => domain.clock.now())
  expect(times).toEqual(times.toSorted((a, b) => a - b))
})

const MIB = 1 << 20

/** Code that writes each page of a range and then halts. */
function writeEachPage(asm: Assembler, from: number, to: number): void {
  asm.mov(edi, imm32(from))
  const next = asm.here()
  asm.mov(dword(edi), edi).add(edi, imm32(4096)).cmp(edi, imm32(to)).jb(next).hlt()
}
/** Words that are written: two of each page, so that a copy without its contents shows. */
const WORDS = 1024

/** A machine without work: vCPUs do nothing, and tests write its RAM as device models do. */
const idle = (): Omit<M.PcOptions, 'memoryBytes'> => ({ kernel: multibootKernel((asm) => void asm.hlt()) })

test('whoever writes breaks the sharing for itself alone, in whatever order machines come and go', async () => {
  let seed = (Math.random() * 2 ** 32) >>> 0
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  const info = `seed ${seed}`
  const first = await made({ ...idle(), forks: { clones: 6, writtenBytes: 4 * MIB } }, 8 * MIB)
  /** Each machine with what its words say. */
  const machine = (pc: M.Pc, pages: Uint32Array) => ({ pc, pages, device: pc.domain.platform.openMemory!('test') })
  /** Some lie in conventional memory, some between 768 KiB and 1 MiB. */
  const frameOf = (page: number): number => [0x10, 0xc0, 0x200, 0x240][page % 4]! + ((page >>> 2) % 64)
  const at = (word: number): number => frameOf(word >>> 2) * 4096 + 2048 + (word & 3) * 8
  const say = ({ pc, device }: ReturnType<typeof machine>, page: number, value: number): void => {
    const bytes = new Uint8Array(Uint32Array.of(value).buffer)
    if (random(2) === 0) pc.domain.guestMemory.write(at(page), bytes)
    else device.write(at(page), bytes)
  }
  const said = (pc: M.Pc): Uint32Array =>
    Uint32Array.from({ length: WORDS }, (_, page) => {
      const bytes = new Uint8Array(4)
      pc.domain.guestMemory.read(at(page), bytes)
      return new DataView(bytes.buffer).getUint32(0, true)
    })
  const machines = [machine(first, said(first))]
  for (let step = 1; step < 300; step++) {
    const index = random(machines.length)
    const { pc, pages } = machines[index]!
    const what = random(20)
    if (what === 0 && machines.length < 6) {
      machines.push(machine(await cloned(pc), pages.slice()))
    } else if (what === 1 && machines.length > 1) {
      pc.close()
      machines.splice(index, 1)
    } else if (what === 2) {
      const snapshot = await pc.save({ forRestore: random(2) === 0 })
      say(machines[index]!, random(WORDS), step)
      say(machines[index]!, random(WORDS), step)
      await pc.restore(snapshot)
    } else if (what === 3) {
      const checkpoint = await pc.checkpoint()
      for (let times = random(3); times >= 0; times--) {
        for (let writes = random(4); writes >= 0; writes--) say(machines[index]!, random(WORDS), step)
        // Frames that it has written are shared meanwhile.
        if (random(4) === 0 && machines.length < 6) (await pc.fork()).close()
        say(machines[index]!, random(WORDS), step)
        await checkpoint.reset()
      }
      checkpoint.close()
    } else {
      const page = random(WORDS)
      say(machines[index]!, page, step)
      pages[page] = step
    }
    for (const each of machines) if (step % 10 === 0) expect(said(each.pc), info).toEqual(each.pages)
  }
  for (const each of machines) expect(said(each.pc), info).toEqual(each.pages)
})

test.each([0x2_0000, 0xc_8000, 0x20_0000])(
  'a machine that goes back to its checkpoint leaves its clone what it wrote at %i',
  async (gpa) => {
    const pc = await made(idle())
    const word = (of: M.Pc): number => {
      const bytes = new Uint8Array(1)
      of.domain.guestMemory.read(gpa, bytes)
      return bytes[0]!
    }
    const checkpoint = await pc.checkpoint()
    pc.domain.guestMemory.write(gpa, Uint8Array.of(7))
    const clone = await cloned(pc)
    await checkpoint.reset()
    expect([word(pc), word(clone)]).toEqual([0, 7])
    pc.domain.guestMemory.write(gpa, Uint8Array.of(8))
    await checkpoint.reset()
    expect([word(pc), word(clone)]).toEqual([0, 7])
  },
)

test('a machine that runs on from its checkpoint, and is forked, writes nothing of its clone’s', async () => {
  // All of its RAM is logged then, so that nothing but the fork takes translations away.
  const firmware = firmwareImage((asm) => {
    const next = asm.here()
    asm.inc(dword(0x4000)).jmp(next)
  })
  const pc = await made({ firmware, clock: 'deterministic' })
  const run = async (): Promise<void> => {
    const stop = new AbortController()
    pc.domain.timers.create(() => stop.abort()).armAfter(20_000)
    await pc.run({ signal: stop.signal })
  }
  const counted = (of: M.Pc): number => {
    const bytes = new Uint8Array(4)
    of.domain.guestMemory.read(0x4000, bytes)
    return new DataView(bytes.buffer).getUint32(0, true)
  }
  await pc.checkpoint()
  await run()
  const clone = await cloned(pc)
  const count = counted(pc)
  await run()
  expect([counted(pc) > count, counted(clone)]).toEqual([true, count])
})

test('a clone of a machine that stands in for firmware has its devices as they were', async () => {
  const pc = await made({ ...idle(), clock: 'deterministic' })
  const clone = await cloned(pc)
  expect(linesOf(await clone.save())).toEqual(linesOf(await pc.save()))
})

test('logs of a clone have what it writes, and nothing else', async () => {
  const pc = await made(idle(), 8 * MIB)
  pc.domain.guestMemory.write(4 * MIB, Uint8Array.of(1))
  const clone = await cloned(pc)
  const log = clone.domain.dirtyLogs.start(0x300, 0x300)
  const taken = (): number[] => {
    const bits = new Uint32Array(0x300 / 32)
    log.take(bits)
    return Array.from({ length: 0x300 }, (_, i) => i).filter((i) => ((bits[i >>> 5]! >>> (i & 31)) & 1) !== 0)
  }
  clone.domain.guestMemory.write(4 * MIB, Uint8Array.of(2))
  pc.domain.guestMemory.write(4 * MIB + 8192, Uint8Array.of(2))
  expect(taken()).toEqual([0x100])
  expect(taken()).toEqual([])
  clone.domain.guestMemory.write(4 * MIB, Uint8Array.of(3))
  clone.domain.guestMemory.write(4 * MIB + 4096, Uint8Array.of(3))
  expect(taken()).toEqual([0x100, 0x101])
})

test('a guest that writes when no room is left ends, and the others go on', async () => {
  const memoryBytes = 64 * MIB
  // Writes each page of RAM from 2 MiB on, then halts.
  const kernel = multibootKernel((asm) => writeEachPage(asm, 2 * MIB, 60 * MIB))
  const pc = await made({ kernel, forks: { clones: 2, writtenBytes: 4 * MIB } }, memoryBytes)
  const quiet = await cloned(pc)
  const running = await cloned(pc)
  const exit = await running.run({ timeoutMs: 60_000 })
  expect(exit).toMatchObject({ reason: 'out-of-memory' })
  expect(exit.detail?.message).toMatch(/forks.writtenBytes/)
  // A device's write is not lost either.
  const other = quiet.run({ timeoutMs: 60_000 })
  quiet.domain.guestMemory.write(62 * MIB, Uint8Array.of(1))
  expect(await other).toMatchObject({ reason: 'out-of-memory' })
  await expect(pc.fork()).rejects.toMatchObject({ code: 'ERR_FORK' })
  running.close()
  const again = await cloned(pc)
  const byte = Uint8Array.of(9)
  again.domain.guestMemory.write(2 * MIB, Uint8Array.of(1))
  pc.domain.guestMemory.read(2 * MIB, byte)
  expect(byte[0]).toBe(0)
})

test('each has its own disk from then on, and the image is the first machine’s', async () => {
  const disk = new RawImage(new MemoryStorage(new Uint8Array(MIB).fill(1)))
  const given: M.PcOptions = { memoryBytes: 8 * MIB, drives: [{ medium: disk, interface: 'virtio' }] }
  const options = withFreezableMedia(given)
  const forked = (from: M.PcOptions): M.PcOptions => withFreezableMedia(cloneOptions(from, {}, freezeMedia(from)))
  const first = forked(options)
  const second = forked(first)
  const media = [options, first, second].map(({ drives }) => drives![0]!.medium!)
  const filled = (value: number): Uint8Array => new Uint8Array(512).fill(value)
  for (const [i, medium] of media.entries()) {
    expect(medium.properties).toEqual(disk.properties)
    await medium.write(512 * i, filled(i + 2))
  }
  const all = async (from: BlockBackend): Promise<number[]> => {
    const into = new Uint8Array(3 * 512)
    await from.read(0, into)
    return [into[0]!, into[512]!, into[1024]!]
  }
  expect(await Promise.all([...media, disk].map(all))).toEqual([
    [2, 1, 1],
    [1, 3, 1],
    [1, 1, 4],
    [2, 1, 1],
  ])
})

test.each<[string, Omit<M.PcOptions, 'memoryBytes'>, RegExp]>([
  ['without room', { ...idle(), forks: undefined }, /forks: \{ clones, writtenBytes \}/],
  ['with models of the caller', { ...idle(), devices: [new DebugExit()] }, /pass as many new ones as devices/],
])('a machine %s says why it cannot be forked', async (_, options, why) => {
  const pc = await made(options)
  const error = await pc.fork().then(
    () => undefined,
    (thrown: unknown) => thrown as M.MachineError,
  )
  expect(error?.code).toBe('ERR_FORK')
  expect(error?.message).toMatch(why)
})

/** A device of a user's: counts what is written to its port, of which it knows the total. */
function counter(isSaved: boolean) {
  let total = 0
  const saved = {
    save: () => ({ version: 1, total }),
    restore: (state: unknown) => void (total = (state as { total: number }).total),
  }
  const model = defineDevice({
    name: 'counter',
    synchronous: true,
    ports: { base: 0x700, size: 1 },
    write: (_offset, _size, value) => void (total += value),
    ...(isSaved && saved),
  })
  return { model, total: () => total }
}

test("a device of a user's goes on in a clone with its state; one without a state to save is named", async () => {
  const first = counter(true)
  const pc = await made({ ...idle(), devices: [first.model] })
  await pc.domain.writePort(0x700, 1, 5)
  const second = counter(true)
  const clone = await cloned(pc, { devices: [second.model] })
  await clone.domain.writePort(0x700, 1, 2)
  expect([first.total(), second.total()]).toEqual([5, 7])
  const other = await made({ ...idle(), devices: [counter(false).model] })
  await expect(other.fork({ devices: [counter(false).model] }).then(() => 'made')).rejects.toMatchObject({
    code: 'ERR_FORK',
    message: expect.stringMatching(/counter cannot be saved: expected save and restore, or stateless: true/),
  })
  // It can run on, and another one is no model of the same state.
  await pc.run({ timeoutMs: 5 })
  const stranger = defineDevice({ name: 'stranger', ports: { base: 0x700, size: 1 }, stateless: true })
  await expect(pc.fork({ devices: [stranger] }).then(() => 'made')).rejects.toMatchObject({
    message: expect.stringMatching(/stranger|counter/),
  })
})

test('options for forks are checked', async () => {
  for (const forks of [{}, { clones: 0, writtenBytes: 1 }, { clones: 1.5, writtenBytes: 1 }, 3]) {
    const why = await M.createPc({ memoryBytes: 4 * MIB, ...idle(), forks: forks as never }).then(
      () => 'made',
      (error: Error) => error.message,
    )
    expect(why).toMatch(/forks/)
  }
})

test('what a clone cannot have of its own is refused', async () => {
  const pc = await made(idle())
  for (const changes of [{ forks: undefined }, { memoryBytes: 8 * MIB }]) {
    const why = await pc.fork(changes as M.PcForkOptions).then(
      () => 'made',
      (error: unknown) => error,
    )
    expect(why).toMatchObject({ code: 'ERR_OPTION', message: expect.stringContaining(Object.keys(changes)[0]!) })
  }
})

test('room for one clone is room for one after the other, and a machine may be closed before its clones', async () => {
  const pc = await made({ ...idle(), forks: { clones: 1, writtenBytes: 65_536 } }, 8 * MIB)
  pc.domain.guestMemory.write(4 * MIB, Uint8Array.of(7))
  let last = await cloned(pc)
  for (let times = 0; times < 3; times++) {
    // A machine that runs is stopped.
    const running = last.run({ timeoutMs: 60_000 })
    last.close()
    expect(await running).toEqual({ reason: 'stopped' })
    last = await cloned(pc)
  }
  pc.close()
  await someTurns(50)
  last.domain.guestMemory.write(4 * MIB + 1, Uint8Array.of(8))
  const bytes = new Uint8Array(2)
  last.domain.guestMemory.read(4 * MIB, bytes)
  expect(bytes).toEqual(Uint8Array.of(7, 8))
  await last.run({ timeoutMs: 20 })
})

test('a clone that was closed leaves the memory of the others alone', async () => {
  const kernel = multibootKernel((asm) => {
    asm.mov(edi, imm32(2 * MIB))
    const again = asm.here()
    asm.inc(dword(edi)).jmp(again)
  })
  const pc = await made({ kernel, clock: 'deterministic' }, 8 * MIB)
  const clone = await cloned(pc)
  const device = clone.domain.platform.openMemory!('test')
  clone.close()
  await someTurns(50)
  // They have its frames, those of its tables too.
  const others = [await cloned(pc), await cloned(pc)]
  await expect(clone.run({ timeoutMs: 10 }).then(() => 'ran')).rejects.toMatchObject({ code: 'ERR_STATE' })
  await expect(clone.run({ timeoutMs: 10 }).then(() => 'ran')).rejects.toMatchObject({ code: 'ERR_STATE' })
  for (let gpa = 0; gpa < 8 * MIB; gpa += 4096) {
    expect(clone.domain.guestMemory.write(gpa, Uint8Array.of(1, 2, 3))).toBe(false)
    device.write(gpa, Uint8Array.of(1, 2, 3))
  }
  const [state, ...states] = await Promise.all([pc, ...others].map(async (each) => linesOf(await each.save())))
  expect(states).toEqual([state, state])
})

test('a clone that a debugger keeps still ends when it is closed', async () => {
  const pc = await made({ kernel: multibootKernel((asm) => void asm.jmp(asm.here())) }, 8 * MIB)
  const clone = await cloned(pc)
  const debug = await clone.debugger()
  const stopped = new Promise<void>((resolve) => {
    debug.breakpoint(debug.register('rip')!, () => {
      resolve()
      return 'stay'
    })
  })
  const running = clone.run({ timeoutMs: 60_000 })
  await stopped
  await someTurns(50)
  clone.close()
  expect(await running).toEqual({ reason: 'stopped' })
})

test('a clone that cannot be made leaves its room', async () => {
  const exit = (): M.PcForkOptions => ({ devices: [new DebugExit({ iobase: EXIT_PORT })] })
  const broken = defineDevice({
    name: 'broken',
    ports: [],
    attach() {
      throw new Error('broken')
    },
  })
  const pc = await made({ ...idle(), ...exit(), forks: { clones: 1, writtenBytes: 65_536 } }, 8 * MIB)
  const first = await cloned(pc, exit())
  first.close()
  await someTurns(50)
  const room = (): number[] => [pc.memory.frames.freeFrames, pc.memory.spareBytes]
  const before = room()
  for (const options of [{ devices: [broken] }, { ...exit(), networkCards: 7 as never }]) {
    for (let times = 0; times < 4; times++) {
      expect(
        await pc.fork(options).then(
          () => 'made',
          (error: Error) => error.name,
        ),
      ).not.toBe('made')
      await someTurns(50)
      expect(room()).toEqual(before)
    }
  }
})
