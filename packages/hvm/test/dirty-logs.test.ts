/** RAM that is logged as it is written, whoever writes it. */
import { defineDevice, type DeviceDma } from '@retrap/device'
import { P2mEntry, P2mType, type LogDirty } from '@retrap/p2m'
import { type Assembler, al, byte, cr0, cr3, dword, eax, ebx, ecx, edi, edx, esp, imm32 } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MemoryWatch } from '../src/index.ts'
import { EXIT_PORT, Guest } from './support/guest.ts'

const FIRST = 0x60
const COUNT = 8

const leave = (asm: Assembler): Assembler => asm.mov(al, 0).out(EXIT_PORT, al).hlt()

function dirtyFrames(log: { take(into: Uint32Array): number }): number[] {
  const bits = new Uint32Array(1)
  log.take(bits)
  return Array.from({ length: COUNT }, (_, i) => i).filter((i) => (((bits[0] as number) >>> i) & 1) !== 0)
}

function logged(build: (asm: Assembler) => void): { guest: Guest; dma: DeviceDma; dirty: () => number[] } {
  const made: { dma?: DeviceDma } = {}
  const model = defineDevice({
    name: 'writer',
    synchronous: true,
    attach: (context) => {
      made.dma = context.dma
    },
  })
  const guest = new Guest(
    (asm) => {
      build(asm)
      leave(asm)
    },
    { devices: [model] },
  )
  const log = guest.domain.dirtyLogs.start(FIRST, COUNT)
  return { guest, dma: made.dma as DeviceDma, dirty: () => dirtyFrames(log) }
}

test('who asks where a shared frame can be written gets a copy of it', () => {
  const guest = new Guest((asm) => leave(asm))
  const { p2m, dirtyLogs, memory } = guest.domain
  const entry = new P2mEntry()
  guest.domain.guestMemory.write(0x6_2000, Uint8Array.of(5))
  const shared = p2m.offer(0x60, COUNT)
  const before = p2m.translate(0x6_2000)
  const ma = dirtyLogs.writable(0x6_2000)
  expect([ma, p2m.lookup(0x62, entry)]).toEqual([p2m.translateWrite(0x6_2000), P2mType.RAM_RW])
  expect([ma === before, memory.u8[ma]]).toEqual([false, 5])
  while (memory.frames.tryAllocate(0) >= 0);
  expect([dirtyLogs.writable(0x6_3000), p2m.lookup(0x63, entry)]).toEqual([-1, P2mType.RAM_SHARED])
  shared.close()
})

test('a vCPU’s stores are made, and mark their frames; its reads mark nothing', async () => {
  const { guest, dirty } = logged((asm) => {
    asm.mov(dword(0x6_1000), 0x1234).mov(eax, dword(0x6_1000)).mov(dword(0x4000), eax).mov(eax, dword(0x6_2000))
    // Across two pages, and a push.
    asm.mov(dword(0x6_3ffe), 0x5678).mov(esp, 0x6_7000).push(eax)
  })
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  expect(guest.read32(0x4000)).toBe(0x1234)
  expect(guest.read32(0x6_3ffe)).toBe(0x5678)
  expect(dirty()).toEqual([1, 3, 4, 6])
  expect(dirty()).toEqual([])
})

test('a store into a logged frame costs no translation of another page', async () => {
  const rounds = 1000
  const { guest, dirty } = logged((asm) => {
    // Six logged frames, of which each is written once and read often, and one that is not logged.
    asm.mov(ecx, rounds)
    const again = asm.here()
    for (let i = 0; i < 6; i++) asm.mov(eax, dword(0x6_0000 + 0x1000 * i))
    asm.inc(dword(0x9000)).dec(ecx).jne(again)
    for (let i = 0; i < 6; i++) {
      asm.mov(dword(0x6_0000 + 0x1000 * i), eax)
      for (let j = 0; j < 6; j++) asm.mov(eax, dword(0x6_0000 + 0x1000 * j))
      asm.inc(dword(0x9000))
    }
  })
  const [vcpu] = guest.domain.vcpus
  const before = vcpu!.counts.walks
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  expect(dirty()).toEqual([0, 1, 2, 3, 4, 5])
  // Code and the counter, a read and a write of each frame, and what is looked at once more on the way.
  expect(vcpu!.counts.walks - before).toBeLessThan(24)
})

/** Steps that a guest makes again and again: stores to frames, and takes of one of two logs, by port or by address. */
type Step =
  | { readonly store: number; readonly how: number }
  | { readonly take: 'first' | 'second'; readonly port: boolean }

const TAKE_PORT = 0x80
const TAKE_GPA = 0xfed0_0000
const ROUNDS = 6

function emitStep(asm: Assembler, step: Step): void {
  if ('take' in step) {
    asm.mov(al, step.take === 'first' ? 1 : 2)
    if (step.port) asm.out(TAKE_PORT, al)
    else asm.mov(byte(TAKE_GPA), al)
    return
  }
  const gpa = (FIRST + step.store) * 0x1000
  const forms = [
    () => asm.mov(dword(gpa + 8), ecx),
    () => asm.add(dword(gpa + 16), ecx),
    // Accesses beside one another, which share a look into the TLB where they are compiled.
    () =>
      asm
        .mov(ebx, imm32(gpa))
        .mov(dword(ebx), ecx)
        .mov(eax, dword(ebx, { disp: 4 }))
        .mov(dword(ebx, { disp: 8 }), eax),
    () => asm.mov(esp, gpa + 0x40).push(ecx),
    () => asm.mov(edi, imm32(gpa)).mov(edx, ecx).mov(ecx, 5).rep().stosd().mov(ecx, edx),
  ]
  forms[step.how]!()
}

/** What each take finds, in order. */
async function takesOf(steps: readonly Step[]): Promise<number[][]> {
  const found: number[][] = []
  let logs: readonly LogDirty[] = []
  const take = (which: number): void => void found.push(dirtyFrames(logs[which - 1]!))
  const taker = defineDevice({
    name: 'taker',
    synchronous: true,
    ports: [{ base: TAKE_PORT, size: 1 }],
    mmio: { base: TAKE_GPA, size: 0x1000 },
    write: (_offset, _size, value) => take(value),
  })
  const guest = new Guest(
    (asm) => {
      asm.mov(ecx, ROUNDS)
      const again = asm.here()
      for (const step of steps) emitStep(asm, step)
      asm.dec(ecx).jne(again)
      leave(asm)
    },
    { devices: [taker] },
  )
  logs = [guest.domain.dirtyLogs.start(FIRST, COUNT), guest.domain.dirtyLogs.start(FIRST + 2, 4)]
  const { version } = guest.domain.p2m
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  expect(guest.domain.p2m.version).toBe(version)
  return found
}

function expectedTakes(steps: readonly Step[]): number[][] {
  const found: number[][] = []
  const dirty = { first: new Set<number>(), second: new Set<number>() }
  for (let round = 0; round < ROUNDS; round++) {
    for (const step of steps) {
      if ('take' in step) {
        found.push([...dirty[step.take]].sort((a, b) => a - b))
        dirty[step.take].clear()
      } else {
        dirty.first.add(step.store)
        if (step.store >= 2 && step.store < 6) dirty.second.add(step.store - 2)
      }
    }
  }
  return found
}

test('each take finds exactly what was stored to since the one before, and changes no leaf', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ store: fc.nat(COUNT - 1), how: fc.nat(4) }) },
    {
      weight: 1,
      arbitrary: fc.record({ take: fc.constantFrom('first' as const, 'second' as const), port: fc.boolean() }),
    },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 24, size: 'max' }), async (steps) => {
      expect(await takesOf(steps)).toEqual(expectedTakes(steps))
    }),
    { numRuns: 25, seed: 60 },
  )
})

test('accessed and dirty bits of tables that are logged are writes too', async () => {
  const { guest, dirty } = logged((asm) => {
    asm.mov(eax, 0x6_0000).mov(cr3, eax).mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax)
    asm.mov(dword(0x4000), 1)
  })
  const { guestMemory } = guest.domain
  guestMemory.load(0x6_0000, Uint8Array.of(0x07, 0x10, 0x06, 0))
  for (let i = 0; i < 1024; i++) guestMemory.load(0x6_1000 + 4 * i, Uint8Array.of(7, (i << 4) & 0xff, i >>> 4, 0))
  expect(dirty()).toEqual([0, 1])
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  expect(guest.read32(0x6_0000)).toBe(0x6_1027)
  expect(dirty()).toEqual([0, 1])
})

test('a device model’s writes mark their frames: copies at once, mappings at their end', () => {
  const { guest, dma, dirty } = logged(() => undefined)
  expect(dma.write(0x6_0ffc, new Uint8Array(8).fill(1))).toBe(true)
  expect(dirty()).toEqual([0, 1])
  expect(guest.read32(0x6_0ffc)).toBe(0x0101_0101)
  const mapping = dma.mapForWriting(0x6_5000, 0x1001)
  mapping.write(0, Uint8Array.of(9))
  mapping.release()
  expect(dirty()).toEqual([5, 6])
  dma.map(0x6_2000, 4).release()
  expect(dirty()).toEqual([])
})

test('what was logged and is not any more may be written', async () => {
  const { guest } = logged((asm) => asm.mov(dword(0x6_9000), 7))
  guest.domain.p2m.setType(0x69, 1, P2mType.RAM_LOGDIRTY)
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  expect(guest.read32(0x6_9000)).toBe(7)
  expect(guest.domain.p2m.lookup(0x69, new P2mEntry())).toBe(P2mType.RAM_RW)
})

test('a log that has ended leaves plain RAM', () => {
  const { guest } = logged(() => undefined)
  const log = guest.domain.dirtyLogs.start(0x70, 4)
  guest.domain.dirtyLogs.stop(log)
  expect(guest.domain.p2m.lookup(0x70, new P2mEntry())).toBe(P2mType.RAM_RW)
})

test('a watch of bytes in two frames tells of stores to either', async () => {
  const stores = [0x6_0ffc, 0x6_0ff8, 0x6_1000, 0x6_1004]
  const { guest } = logged((asm) => {
    for (const address of stores) asm.mov(dword(address), eax)
  })
  const { domain } = guest
  const counts: number[] = []
  const watch = new MemoryWatch(domain, [{ gpa: 0x6_0ffc, length: 8 }], () => counts.push(domain.instructions))
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  watch.close()
  expect(counts.map((count) => count - counts[0]!)).toEqual([0, 2])
})
