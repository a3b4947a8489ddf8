/** What a device model does to guest memory, as the guest's vCPUs see it. */
import { defineDevice, type DeviceContext, type DeviceDma } from '@retrap/device'
import { P2mType } from '@retrap/p2m'
import { al, dword, eax, ebx } from '@retrap/x86-assembler'
import { STATUS_DONE } from '@retrap/x86-cpu'
import { describe, expect, test } from 'vitest'
import { DeterministicClock, type X86Vcpu } from '../src/index.ts'
import { EXIT_PORT, Guest, realClock } from './support/guest.ts'

const CODE_PAGE = 0x6_0000
const RESULT = 0x4000

/** A device that does something with its memory at each OUT to port 80H. */
function dmaDevice(act: (dma: DeviceDma, value: number) => void) {
  let context: DeviceContext | undefined
  return defineDevice({
    name: 'dma',
    synchronous: true,
    ports: { base: 0x80, size: 1 },
    attach: (given) => {
      context = given
    },
    write: (_offset, _size, value) => act((context as DeviceContext).dma, value),
  })
}

describe('what is written into code that has been translated is executed', () => {
  // MOV EAX, 1 becomes MOV EAX, 2.
  test.each<[string, (dma: DeviceDma) => void]>([
    ['by a copy', (dma) => void dma.write(CODE_PAGE + 1, Uint8Array.of(2))],
    ['by a copy of some', (dma) => void dma.writeSome(CODE_PAGE + 1, Uint8Array.of(2))],
    ['by a promise', (dma) => void dma.writeAsync(CODE_PAGE + 1, Uint8Array.of(2))],
    [
      'through a mapping',
      (dma) => {
        using mapping = dma.mapForWriting(CODE_PAGE, 16)
        mapping.write(1, Uint8Array.of(2))
      },
    ],
    [
      'through its bytes',
      (dma) => {
        using mapping = dma.mapForWriting(CODE_PAGE, 16)
        mapping.segments[0]?.bytes?.set([2], 1)
      },
    ],
  ])('%s', async (_how, act) => {
    const guest = new Guest(
      (asm) => {
        // Often enough to be hot.
        const again = asm.mov(ebx, 2000).here()
        asm.mov(eax, CODE_PAGE).call(eax).dec(ebx).jnz(again).mov(dword(RESULT), eax)
        asm
          .out(0x80, al)
          .mov(eax, CODE_PAGE)
          .call(eax)
          .mov(dword(RESULT + 4), eax)
        asm.mov(al, 0).out(EXIT_PORT, al).hlt()
      },
      { devices: [dmaDevice(act)] },
    )
    guest.domain.guestMemory.load(CODE_PAGE, Uint8Array.of(0xb8, 1, 0, 0, 0, 0xc3))
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect([guest.read32(RESULT), guest.read32(RESULT + 4)]).toEqual([1, 2])
  })
})

describe('a mapping that is held until a timer of the machine', () => {
  test.each([
    ['real', realClock],
    ['deterministic', () => new DeterministicClock()],
  ] as const)('ends, though every vCPU waits for its end: %s time', async (_name, clockOf) => {
    const clock = clockOf()
    let context: DeviceContext | undefined
    const model = defineDevice({
      name: 'engine',
      synchronous: true,
      ports: { base: 0x80, size: 1 },
      attach: (given) => {
        context = given
      },
      write: () => {
        const given = context as DeviceContext
        const mapping = given.dma.map(CODE_PAGE, 16)
        given.timer(() => mapping.release()).arm(clock.now() + 5_000_000)
      },
    })
    const guest = new Guest((asm) => asm.out(0x80, al).vmcall().mov(al, 3).out(EXIT_PORT, al).hlt(), {
      devices: [model],
      clock,
    })
    const { domain } = guest
    const vcpu = domain.vcpus[0] as X86Vcpu
    vcpu.hypercall = () => {
      const before = domain.invalidations.enter(0)
      domain.p2m.populate(CODE_PAGE >>> 12, 1)
      domain.invalidations.leave(before)
      return STATUS_DONE
    }
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 3 })
    expect(clock.now()).toBeGreaterThanOrEqual(5_000_000)
    if (clock.deterministic) expect(clock.now()).toBeLessThan(5_000_100)
  })
})

test('a model that keeps a view of what it has released is found, where that is checked', () => {
  let dma: DeviceDma | undefined
  const model = defineDevice({ name: 'keeper', synchronous: true, attach: (given) => void (dma = given.dma) })
  const guest = new Guest((asm) => asm.hlt(), { devices: [model], checkMappings: true })
  const mapping = (dma as DeviceDma).mapForWriting(0x6_0000, 4)
  const kept = mapping.segments[0]?.bytes
  kept?.set([1, 2, 3, 4])
  mapping.release()
  expect(guest.read32(0x6_0000)).toBe(0x0403_0201)
  expect([...(kept ?? [])]).toEqual([0xdb, 0xdb, 0xdb, 0xdb])
  expect(guest.domain.keptViews()).toEqual([])
  kept?.set([5])
  expect(guest.read32(0x6_0000)).toBe(0x0403_0201)
  expect(guest.domain.keptViews()).toEqual([{ device: 'keeper', gpa: 0x6_0000, length: 4 }])
})

test('RAM, ROM, holes and scattered frames in one mapping', () => {
  let dma: DeviceDma | undefined
  const model = defineDevice({ name: 'mapper', synchronous: true, attach: (given) => void (dma = given.dma) })
  const guest = new Guest((asm) => asm.hlt(), { devices: [model] })
  const { p2m, guestMemory } = guest.domain
  p2m.setType(0x62, 1, P2mType.RAM_RO)
  p2m.insert(0x63, -1, 0, P2mType.MMIO_DM)
  p2m.populate(0x61, 1)
  guestMemory.load(0x6_0ffe, Uint8Array.of(1, 2, 3, 4))
  using mapping = (dma as DeviceDma).mapForWriting(0x6_0ffe, 0x3000)
  expect(mapping.segments.map(({ kind, length }) => [kind, length])).toEqual([
    ['ram', 2],
    ['ram', 0x1000],
    ['rom', 0x1000],
    ['mmio', 0xffe],
  ])
  const into = new Uint8Array(4)
  expect(mapping.read(0, into)).toBe(4)
  expect([...into]).toEqual([1, 2, 3, 4])
  // ROM swallows its part, and the device's registers end it.
  expect(mapping.write(0, new Uint8Array(0x3000).fill(9))).toBe(0x2002)
  expect([guest.read32(0x6_0ffe), guest.read32(0x6_2000)]).toEqual([0x0909_0909, 0])
})
