/**
 * What device models hear of the RAM that an Arm guest gives away (seed 002): at the hypercall's end, on the vCPU that made
 * it, before its next instruction; and what a hypercall that is cut in two does.
 */
import { setImmediate } from 'node:timers/promises'
import { defineDevice } from '@retrap/device'
import { RealClock } from '@retrap/hvm'
import { createIoRequest, IOREQ_TYPE_INVALIDATE } from '@retrap/ioreq'
import { P2mEntry } from '@retrap/p2m'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import * as armGuest from '../support/arm-guest.ts'

const test = sliceTests(3)

const SELF = 0x7ff0
const MEMORY_OP = 12
const DECREASE = 1
const ADD_TO_PHYSMAP = 7
const PROBE = 0x0901_0000
/** LDR W10, [X9] */
const READ_WORD = 0xb940_012a
/** A frame that nothing else uses. */
const GIVEN = armGuest.RAM / 0x1000 + 0x200
/** Where each vCPU but the first counts. */
const COUNTERS = armGuest.RAM + 0x9_0000
const counter = (vcpu: number): number => COUNTERS + 0x100 * vcpu

/** A server that says what it hears, and acknowledges at once or when it is told to. */
class Emulator {
  readonly heard: string[] = []
  readonly #guest: armGuest.XenArmTestGuest
  readonly #server
  #asked: number[] = []

  constructor(guest: armGuest.XenArmTestGuest, atOnce: boolean) {
    this.#guest = guest
    this.#server = guest.domain.dispatch.createServer({
      name: 'emulator',
      transport: {
        notify: (vcpu) => {
          const request = createIoRequest()
          expect(this.#server.slot(vcpu).accept(request)).toBe(true)
          expect(request.type).toBe(IOREQ_TYPE_INVALIDATE)
          this.heard.push(`notice of vCPU ${vcpu} at +${this.#pc(vcpu)}`)
          this.#asked.push(vcpu)
          if (atOnce) this.answer()
        },
      },
    })
    this.#server.setState(true)
  }

  #pc(vcpu: number): number {
    return Number(this.#guest.domain.vcpus[vcpu]!.processor.registers.pc) - armGuest.CODE
  }

  get asked(): boolean {
    return this.#asked.length > 0
  }

  answer(): void {
    for (const vcpu of this.#asked.splice(0)) {
      this.heard.push('acknowledged')
      this.#server.slot(vcpu).answer(0, 0)
      this.#server.answered(vcpu)
    }
  }

  async wait(): Promise<void> {
    while (!this.asked) await setImmediate()
  }
}

interface Case {
  readonly vcpus: number
  readonly devices: string
  readonly atOnce: boolean
}

const CASES: readonly Case[] = [1, 4].flatMap((vcpus) =>
  ['inline', 'asynchronous'].flatMap((devices) => [true, false].map((atOnce) => ({ vcpus, devices, atOnce }))),
)

/** A guest whose first vCPU makes a hypercall and then reads a device, while the others count. */
function make({ vcpus, devices, atOnce }: Case, program: readonly number[]) {
  const guest = new armGuest.XenArmTestGuest({
    vcpus,
    memoryBytes: 64 << 20,
    domain: {
      clock: new RealClock(() => performance.now() * 1e6),
      ...(devices === 'asynchronous' && { deferDevices: (call: () => void) => void setImmediate().then(call) }),
    },
  })
  const emulator = new Emulator(guest, atOnce)
  guest.domain.attach(
    defineDevice({ name: 'probe', mmio: { base: PROBE, size: 8 }, read: () => emulator.heard.push('read') }),
  )
  guest.program(armGuest.CODE, [...program, ...armGuest.load(9, PROBE), READ_WORD, ...armGuest.FINISH])
  for (let vcpu = 1; vcpu < vcpus; vcpu++) {
    const entry = armGuest.CODE + 0x1000 * vcpu
    // ADD X5, X5, #1
    guest.program(entry, [...armGuest.load(9, counter(vcpu)), 0x9100_04a5, armGuest.store(5, 9), armGuest.branch(-2)])
    guest.start(vcpu, entry)
  }
  const counts = (): bigint[] => Array.from({ length: vcpus - 1 }, (_, i) => guest.read64(counter(i + 1)))
  return { guest, emulator, counts }
}

/** `xen_memory_reservation` of some frames, whose list is at a place of its own. */
function reserve(guest: armGuest.XenArmTestGuest, frames: readonly number[], list = armGuest.ARGUMENTS + 0x100): void {
  guest.write64(armGuest.ARGUMENTS, list, frames.length)
  guest.write32(armGuest.ARGUMENTS + 16, 0, 0)
  guest.write32(armGuest.ARGUMENTS + 24, SELF)
  guest.write64(list, ...frames)
}

describe.each(CASES)('$vcpus vCPUs, $devices devices, acknowledged at once: $atOnce', (each) => {
  const { vcpus, atOnce } = each

  test('a frame that is given away is told of behind HVC, before the next instruction', async () => {
    const program = armGuest.hypercall(MEMORY_OP, DECREASE, armGuest.ARGUMENTS)
    const { guest, emulator, counts } = make(each, program)
    reserve(guest, [GIVEN])
    const run = guest.run()
    if (!atOnce) {
      await emulator.wait()
      expect(guest.registers.x(0)).toBe(1n)
      // The others go on meanwhile.
      const before = counts()
      while (counts().some((count, i) => count <= before[i]!)) await setImmediate()
      emulator.answer()
    }
    await run
    expect(emulator.heard).toEqual([`notice of vCPU 0 at +${4 * program.length}`, 'acknowledged', 'read'])
    expect(guest.domain.vcpus[0]?.hypercalls).toBe(1)
  })

  test('a frame that a page of Xen’s takes the place of, likewise', async () => {
    const { guest, emulator } = make(each, armGuest.hypercall(MEMORY_OP, ADD_TO_PHYSMAP, armGuest.ARGUMENTS))
    guest.write32(armGuest.ARGUMENTS, SELF, 0)
    guest.write64(armGuest.ARGUMENTS + 8, 0, GIVEN)
    const run = guest.run()
    if (!atOnce) await emulator.wait()
    emulator.answer()
    await run
    expect(emulator.heard.slice(1)).toEqual(['acknowledged', 'read'])
  })

  test('a hypercall that changes nothing, or that fails, is told of to nobody', async () => {
    const { guest, emulator } = make(each, armGuest.hypercall(MEMORY_OP, DECREASE, armGuest.ARGUMENTS))
    reserve(guest, [0xf_0000])
    await guest.run()
    expect(emulator.heard).toEqual(['read'])
  })

  test('a long one is cut in parts: HVC is executed again, and its parts are acknowledged between them', async () => {
    const COUNT = 5000
    const LIST = armGuest.RAM + 0x100_0000
    const program = armGuest.hypercall(MEMORY_OP, DECREASE, armGuest.ARGUMENTS)
    const { guest, emulator } = make(each, program)
    const { p2m } = guest.domain
    const first = armGuest.RAM / 0x1000 + 0x2000
    p2m.populate(LIST / 0x1000, 16)
    p2m.populate(first, COUNT)
    reserve(
      guest,
      Array.from({ length: COUNT }, (_, i) => first + i),
      LIST,
    )
    const { frames } = p2m
    const given: number[] = []
    const run = guest.run()
    if (!atOnce)
      for (let part = 0; part < 3; part++) {
        await emulator.wait()
        given.push(frames - p2m.frames)
        // What is done is in the command; number and pointer are as they were.
        const done = guest.registers.x(0)
        expect(part < 2 ? done : BigInt(COUNT)).toBe(part < 2 ? BigInt(1 | (given[part]! << 6)) : done)
        expect([guest.registers.x(1), guest.registers.x(16)]).toEqual([BigInt(armGuest.ARGUMENTS), BigInt(MEMORY_OP)])
        emulator.answer()
      }
    await run
    const hvc = 4 * (program.length - 1)
    expect(emulator.heard).toEqual([
      ...[`notice of vCPU 0 at +${hvc}`, 'acknowledged'],
      ...[`notice of vCPU 0 at +${hvc}`, 'acknowledged'],
      ...[`notice of vCPU 0 at +${hvc + 4}`, 'acknowledged', 'read'],
    ])
    if (!atOnce) expect(given).toEqual([2048, 4096, COUNT])
    expect(frames - p2m.frames).toBe(COUNT)
    expect(guest.domain.vcpus[0]?.hypercalls).toBe(3)
  })

  test('a change from outside stops every vCPU until all device models have let go', async () => {
    // The first vCPU counts as well, until it finds a word.
    const word = armGuest.ARGUMENTS + 0x800
    const program = [...armGuest.load(9, word), armGuest.read(10, 9), (0xb400_0000 | ((-1 & 0x7_ffff) << 5) | 10) >>> 0]
    const { guest, emulator, counts } = make(each, program)
    const { domain } = guest
    const run = guest.run()
    while (counts().some((count) => count === 0n)) await setImmediate()
    const entry = new P2mEntry()
    const change = domain.changeMemory((p2m) => {
      p2m.lookup(GIVEN, entry)
      p2m.remove(GIVEN, entry.mfn + (GIVEN % 2 ** entry.order), 1)
    })
    if (!atOnce) {
      await emulator.wait()
      while (emulator.heard.length < vcpus) await setImmediate()
      const before = counts()
      const { instructions } = domain
      for (let i = 0; i < 20; i++) await setImmediate()
      expect([counts(), domain.instructions]).toEqual([before, instructions])
      while (emulator.asked) {
        emulator.answer()
        await setImmediate()
      }
    }
    await change
    expect(emulator.heard.filter((what) => what.startsWith('notice'))).toHaveLength(vcpus)
    expect(domain.p2m.translate(GIVEN * 0x1000)).toBe(-1)
    const before = counts()
    while (counts().some((count, i) => count <= before[i]!)) await setImmediate()
    guest.write64(word, 1)
    await run
  })
})

test('an interrupt is taken in the middle of a long hypercall, and returns to its HVC', async () => {
  const COUNT = 1000
  const LIST = armGuest.RAM + 0x100_0000
  const guest = new armGuest.XenArmTestGuest({ memoryBytes: 64 << 20 })
  guest.domain.p2m.populate(LIST / 0x1000, 4)
  const first = armGuest.RAM / 0x1000 + 0x2000
  guest.domain.p2m.populate(first, COUNT)
  reserve(
    guest,
    Array.from({ length: COUNT }, (_, i) => first + i),
    LIST,
  )
  const program = [
    ...armGuest.load(9, armGuest.VECTORS),
    armGuest.msr(9, armGuest.VBAR),
    armGuest.UNMASK,
    ...armGuest.hypercall(MEMORY_OP, DECREASE, armGuest.ARGUMENTS),
  ]
  guest.program(armGuest.CODE, [...program, ...armGuest.FINISH])
  guest.program(armGuest.VECTORS + 0x280, [armGuest.mrs(20, armGuest.ELR), ...armGuest.FINISH])
  guest.enableEvents()
  // The interrupt comes while the first frames are given away.
  const stop = guest.domain.p2m.onRelease(() => guest.domain.setPrivateInterrupt(0, 31, true))
  await guest.run()
  stop()
  expect(guest.registers.x(20)).toBe(BigInt(armGuest.CODE + 4 * (program.length - 1)))
  // One frame is done.
  expect(guest.registers.x(0)).toBe(BigInt(DECREASE | (1 << 6)))
})
