/**
 * The open problems of the review of Xen's mapcache invalidation (seed 002), a test a row, and what becomes of the frames.
 */
import { defineDevice } from '@retrap/device'
import { INVALID_MFN, P2mEntry, P2mType, type P2m } from '@retrap/p2m'
import { type Assembler, al, byte, dword, eax, edi, esi, esp } from '@retrap/x86-assembler'
import { STATUS_DONE } from '@retrap/x86-cpu'
import { describe, expect, test } from 'vitest'
import { DeterministicClock, type X86Domain, type X86Vcpu } from '../src/index.ts'
import { Emulator, ticks } from './support/emulator.ts'
import { EXIT_PORT, Guest } from './support/guest.ts'

const PAGE = 0x60
const MARK = 0x5000

const leave = (asm: Assembler, code = 0): Assembler => asm.mov(al, code).out(EXIT_PORT, al).hlt()
const vcpuOf = (domain: X86Domain, id = 0): X86Vcpu => domain.vcpus[id] as X86Vcpu

function mfnOf(p2m: P2m, gfn: number): number {
  const entry = new P2mEntry()
  p2m.lookup(gfn, entry)
  return entry.mfn
}

const remove = (p2m: P2m, gfn = PAGE): void => p2m.remove(gfn, mfnOf(p2m, gfn))

/** Makes VMCALL do something, as the vCPU's own doing. */
function hypercall(domain: X86Domain, what: () => void): void {
  const vcpu = vcpuOf(domain)
  vcpu.hypercall = () => {
    const before = domain.invalidations.enter(vcpu.id)
    what()
    domain.invalidations.leave(before)
    return STATUS_DONE
  }
}

describe('one flag a domain, tested and cleared', () => {
  // Whole guests: "1: two vCPUs decrease their reservation at the same time".
  test('what one vCPU waits for, another does not take from it', () => {
    const { domain } = new Guest((asm) => leave(asm), { vcpus: 2 })
    const { invalidations, p2m } = domain
    const emulator = new Emulator(domain)
    for (const vcpu of [0, 1]) {
      const before = invalidations.enter(vcpu)
      remove(p2m, PAGE + vcpu)
      invalidations.leave(before)
    }
    expect([invalidations.resume(0), invalidations.resume(1)]).toEqual([false, false])
    emulator.answer(0)
    expect([invalidations.resume(0), invalidations.resume(1)]).toEqual([true, false])
    emulator.answer(1)
    expect([invalidations.resume(0), invalidations.resume(1)]).toEqual([true, true])
  })

  test('a change during a notice needs another one', () => {
    const { domain } = new Guest((asm) => leave(asm))
    const { invalidations, p2m } = domain
    const emulator = new Emulator(domain)
    const change = (gfn: number): void => {
      const before = invalidations.enter(0)
      remove(p2m, gfn)
      invalidations.leave(before)
    }
    change(PAGE)
    expect(invalidations.resume(0)).toBe(false)
    change(PAGE + 1)
    emulator.answer(0)
    expect(invalidations.resume(0)).toBe(false)
    expect(emulator.seen).toHaveLength(2)
    emulator.answer(0)
    expect(invalidations.resume(0)).toBe(true)
  })
})

describe('a change made for another domain', () => {
  // Toolstacks of a running domain: "a toolstack" among the reference's cases.
  test('flags the vCPUs of the domain that loses the RAM, and its servers are told, not those of who made it', async () => {
    const one = new Guest((asm) => leave(asm.vmcall(), 1))
    const other = new Guest((asm) => leave(asm, 2), { vcpus: 2 })
    const [own, theirs] = [new Emulator(one.domain), new Emulator(other.domain)]
    // A guest that has the right to: its hypercall is about another's map.
    hypercall(one.domain, () => remove(other.domain.p2m))
    expect(await one.run()).toEqual({ reason: 'debug-exit', code: 1 })
    expect([own.seen, theirs.seen]).toEqual([[], []])
    const { invalidations } = other.domain
    expect([invalidations.flagged(0), invalidations.flagged(1)]).toEqual([true, true])
    const run = other.run()
    await ticks()
    expect([own.seen, theirs.seen]).toEqual([[], ['invalidate 0', 'invalidate 1']])
    theirs.answer(1)
    theirs.answer(0)
    expect(await run).toEqual({ reason: 'debug-exit', code: 2 })
  })
})

describe('hypercalls are not the only way to change the map', () => {
  const gfn = PAGE
  const ways: readonly { way: string; change: (domain: X86Domain) => void; raised?: number }[] = [
    { way: 'remove', change: ({ p2m }) => remove(p2m) },
    { way: 'a hole inserted', change: ({ p2m }) => p2m.insert(gfn, INVALID_MFN, 0, P2mType.MMIO_DM) },
    {
      way: 'a large leaf over small ones',
      change: ({ p2m }) => p2m.insert(0, INVALID_MFN, 9, P2mType.INVALID),
      raised: 256,
    },
    { way: 'populate', change: ({ p2m }) => p2m.populate(gfn, 1) },
    {
      way: 'a range of frames',
      change: ({ p2m, memory }) => p2m.insertRange(gfn, memory.frames.allocate(), 1, P2mType.RAM_RW),
    },
    { way: 'another’s frame', change: ({ p2m }) => p2m.insertForeign(gfn, mfnOf(p2m, gfn + 1), P2mType.MAP_FOREIGN) },
    { way: 'a type without rights to write', change: ({ p2m }) => void p2m.setType(gfn, 1, P2mType.RAM_RO) },
    { way: 'the end of the map', change: ({ p2m }) => p2m.destroy(), raised: 256 },
  ]
  test.each(ways)('$way', ({ change, raised = 1 }) => {
    const { domain } = new Guest((asm) => leave(asm))
    const before = domain.invalidations.epoch
    new Emulator(domain)
    change(domain)
    expect(domain.invalidations.flagged(0)).toBe(true)
    // Large leaves are one change each.
    expect(domain.invalidations.epoch - before).toBeGreaterThanOrEqual(1)
    expect(domain.invalidations.epoch - before).toBeLessThanOrEqual(raised)
  })

  test('a device model of this process that changes it by itself flags every vCPU', async () => {
    const made: { guest?: Guest } = {}
    const model = defineDevice({
      name: 'bridge',
      synchronous: true,
      ports: { base: 0x80, size: 1 },
      write: () => remove((made.guest as Guest).domain.p2m),
    })
    const guest = new Guest((asm) => leave(asm.out(0x80, al).mov(byte(MARK), 1), 3), { vcpus: 2, devices: [model] })
    made.guest = guest
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    expect([emulator.seen.toSorted(), guest.read32(MARK)]).toEqual([['invalidate 0', 'invalidate 1'], 0])
    emulator.answer(1)
    emulator.answer(0)
    expect(await run).toEqual({ reason: 'debug-exit', code: 3 })
  })
})

test('the check on every exit: a vCPU without a notice asks nobody', async () => {
  const guest = new Guest((asm) => {
    for (let i = 0; i < 20; i++) asm.vmcall()
    leave(asm, 4)
  })
  let asked = 0
  const { dispatch } = guest.domain
  const invalidate = dispatch.requests.invalidate.bind(dispatch.requests)
  dispatch.requests.invalidate = (...args) => (asked++, invalidate(...args))
  let calls = 0
  hypercall(guest.domain, () => {
    if (++calls === 10) remove(guest.domain.p2m)
  })
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 4 })
  expect([calls, asked]).toEqual([20, 1])
})

describe('faults that change the map', () => {
  const SHARED = PAGE + 1

  /** Two pages with a RET at their beginning are one. */
  function sharing(build: (asm: Assembler) => void): Guest {
    const guest = new Guest(build)
    const { domain } = guest
    for (const gfn of [PAGE, SHARED]) domain.guestMemory.load(gfn << 12, Uint8Array.of(0xc3))
    domain.p2m.share(PAGE, domain.p2m, SHARED)
    return guest
  }

  test.each<[string, (asm: Assembler) => Assembler]>([
    ['a store', (asm) => asm.mov(dword(PAGE << 12), 7)],
    ['a read-modify-write', (asm) => asm.add(dword(PAGE << 12), 7)],
    ['a push', (asm) => asm.mov(esp, (PAGE << 12) + 16).push(eax)],
    [
      'a copy',
      (asm) =>
        asm
          .mov(esi, MARK + 16)
          .mov(edi, PAGE << 12)
          .movsd(),
    ],
  ])(
    'a shared frame that is written is copied; the vCPU waits before its next instruction: %s',
    async (_how, write) => {
      const guest = sharing((asm) => leave(write(asm).mov(byte(MARK), 1), 6))
      const { domain } = guest
      // The notice of the sharing itself.
      await domain.changeMemory(() => undefined)
      const emulator = new Emulator(domain)
      const run = guest.run()
      await ticks()
      expect([emulator.seen, guest.read32(MARK)]).toEqual([['invalidate 0'], 0])
      emulator.answer(0)
      expect(await run).toEqual({ reason: 'debug-exit', code: 6 })
      expect(guest.read32(MARK)).toBe(1)
      expect(mfnOf(domain.p2m, PAGE)).not.toBe(mfnOf(domain.p2m, SHARED))
    },
  )

  test('a vCPU whose store to ROM is the cause waits, from the next branch back on', async () => {
    const guest = new Guest(
      (asm) => {
        const [store, mark] = [asm.label(), asm.label()]
        asm.jmp(store).bind(mark)
        leave(asm.mov(byte(MARK), 1), 6)
        asm
          .bind(store)
          .mov(byte(PAGE << 12), 7)
          .jmp(mark)
      },
      { vcpus: 2 },
    )
    const { domain } = guest
    domain.p2m.setType(PAGE, 1, P2mType.RAM_RO)
    // A board whose ROM becomes RAM of another frame with the first store.
    domain.romWrite = () => {
      const before = domain.invalidations.enter(0)
      domain.p2m.populate(PAGE, 1)
      domain.invalidations.leave(before)
    }
    await domain.changeMemory(() => undefined)
    const emulator = new Emulator(domain)
    const run = guest.run()
    await ticks()
    expect([emulator.seen, guest.read32(MARK)]).toEqual([['invalidate 0'], 0])
    emulator.answer(0)
    expect(await run).toEqual({ reason: 'debug-exit', code: 6 })
  })
})

describe('the frames that left', () => {
  test('are nobody else’s until all have acknowledged, and go back to the machine then', async () => {
    const guest = new Guest((asm) => leave(asm.vmcall(), 5))
    const { domain, memory } = guest
    const mfn = mfnOf(domain.p2m, PAGE)
    hypercall(domain, () => remove(domain.p2m))
    const [one, two] = [new Emulator(domain), new Emulator(domain)]
    const run = guest.run()
    await ticks()
    expect(memory.frames.isAllocated(mfn)).toBe(true)
    one.answer(0)
    await ticks()
    expect(memory.frames.isAllocated(mfn)).toBe(true)
    two.answer(0)
    expect(memory.frames.isAllocated(mfn)).toBe(false)
    expect(await run).toEqual({ reason: 'debug-exit', code: 5 })
  })

  test('stay under a mapping that a dead model had, no longer than that', () => {
    const { domain, memory } = new Guest((asm) => leave(asm))
    const made: { map?: () => void } = {}
    domain.attach({
      name: 'mapper',
      attach: ({ dma }) => {
        made.map = () => void dma.map(PAGE << 12, 0x1000)
      },
    })
    made.map?.()
    const mfn = mfnOf(domain.p2m, PAGE)
    remove(domain.p2m)
    expect(domain.invalidations.resume(0)).toBe(false)
    expect(memory.frames.isAllocated(mfn)).toBe(true)
    domain.devices.detach('mapper')
    expect(domain.invalidations.resume(0)).toBe(true)
    expect(memory.frames.isAllocated(mfn)).toBe(false)
  })

  test('that a toolstack put into the map uncounted stay its own', async () => {
    const { domain, memory } = new Guest((asm) => leave(asm))
    const mfn = memory.frames.allocate()
    domain.p2m.insert(0x200, mfn, 0, P2mType.RAM_RW)
    const dma = { read: (): boolean => false }
    domain.attach({
      name: 'reader',
      attach: (context) => void (dma.read = () => context.dma.read(0x20_0000, new Uint8Array(8))),
    })
    expect(dma.read()).toBe(true)
    await domain.changeMemory((p2m) => remove(p2m, 0x200))
    expect([dma.read(), memory.frames.isAllocated(mfn)]).toEqual([false, true])
  })
})

describe('a notice under way', () => {
  const asking = async (): Promise<{ guest: Guest; emulator: Emulator; run: Promise<unknown> }> => {
    const guest = new Guest((asm) => leave(asm.vmcall().mov(eax, dword(0xe000_0000)), 8))
    hypercall(guest.domain, () => remove(guest.domain.p2m))
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    expect(emulator.asked(0)).toBe(true)
    return { guest, emulator, run }
  }

  test('a snapshot waits for it', async () => {
    const { guest, emulator, run } = await asking()
    guest.domain.stop({ reason: 'stopped' })
    await run
    await expect(guest.domain.settle(20)).rejects.toMatchObject({ code: 'ERR_PENDING', vcpus: [0] })
    const settled = guest.domain.settle(5000)
    emulator.answer(0)
    await settled
    expect(guest.domain.dispatch.requests.has(0)).toBe(false)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 8 })
  })

  test('outlives a reset: the first instruction waits for its end', async () => {
    const { guest, emulator, run } = await asking()
    const { domain } = guest
    domain.stop({ reason: 'stopped' })
    await run
    domain.reset()
    expect(domain.dispatch.requests.has(0)).toBe(true)
    const again = domain.run()
    await ticks()
    expect(vcpuOf(domain).cpu.retired).toBeLessThan(10)
    emulator.answer(0)
    domain.stop({ reason: 'stopped' })
    await again
  })

  test('firmware’s port writes before the guest runs wait for it', async () => {
    const guest = new Guest((asm) => leave(asm))
    const { domain } = guest
    const emulator = new Emulator(domain)
    const change = domain.changeMemory((p2m) => remove(p2m))
    let written = false
    const write = domain.writePort(0xe9, 1, 0x41).then(() => (written = true))
    await ticks()
    expect([emulator.asked(0), written]).toEqual([true, false])
    emulator.answer(0)
    await Promise.all([change, write])
    expect(guest.output).toEqual([0x41])
  })
})

test('clocks of deterministic domains do not see who was slow to acknowledge', async () => {
  const times: number[] = []
  for (const turns of [1, 50]) {
    const clock = new DeterministicClock()
    const guest = new Guest((asm) => leave(asm.vmcall().vmcall(), 1), { clock })
    hypercall(guest.domain, () => remove(guest.domain.p2m, PAGE + times.length + guest.output.push(0)))
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    for (let i = 0; i < 2; i++) {
      while (!emulator.asked(0)) await ticks(1)
      await ticks(turns)
      emulator.answer(0)
    }
    await run
    times.push(clock.now())
  }
  expect(times[0]).toBe(times[1])
})
