/** What a vCPU does at each type of guest frame that its access cannot go on with. */
import { defineDevice, type GuestMapping } from '@retrap/device'
import { createIoRequest, IOREQ_TYPE_COPY } from '@retrap/ioreq'
import { INVALID_MFN, P2M_EXECUTE, P2M_WRITE, P2mAccess, P2mEntry, P2mType, type P2m } from '@retrap/p2m'
import { type Assembler, al, cr0, cr3, dword, eax, edi, esi, esp, imm32 } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import type { AccessViolation, X86Vcpu } from '../src/index.ts'
import { CODE, EXIT_PORT, Guest, PROTECTED, STACK, type GuestOptions } from './support/guest.ts'

const GFN = 0x60
const GPA = 0x6_0000
/** RAM that nobody touches but to leave results. */
const RESULT = 0x4000

const leave = (asm: Assembler): Assembler => asm.mov(al, 0).out(EXIT_PORT, al).hlt()
const DONE = { reason: 'debug-exit', code: 0 } as const

function guestOf(build: (asm: Assembler) => void, options: GuestOptions = {}): { guest: Guest; p2m: P2m } {
  const guest = new Guest((asm) => {
    build(asm)
    leave(asm)
  }, options)
  return { guest, p2m: guest.domain.p2m }
}

function typeOf(p2m: P2m, gfn: number): number {
  return p2m.lookup(gfn, new P2mEntry())
}

/** Makes a hole of a frame that has RAM. */
function vacate(p2m: P2m, gfn: number, count = 1): void {
  for (let i = 0; i < count; i++) p2m.remove(gfn + i, p2m.translate((gfn + i) * 4096) / 4096)
}

/** Reads what is there, adds, writes it back, in one instruction; and reads the sum. */
const addTwice = (asm: Assembler): void => {
  asm
    .mov(eax, 5)
    .add(dword(GPA + 8), eax)
    .add(dword(GPA + 8), eax)
    .mov(eax, dword(GPA + 8))
    .mov(dword(RESULT), eax)
}

describe('populate-on-demand', () => {
  test('a frame is there when it is read or written first, and the guest goes on', async () => {
    const { guest, p2m } = guestOf(addTwice)
    vacate(p2m, GFN, 2)
    p2m.onDemand.mark(GFN, 2)
    p2m.onDemand.setCache(2)
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), p2m.onDemand.entries]).toEqual([10, 1])
  })

  test('page tables, and the instructions themselves, are populated too', async () => {
    // The directory of the first 4 MiB, in frames that nobody has touched: absent, so that the guest faults at once.
    const { guest, p2m } = guestOf((asm) => {
      asm.mov(eax, dword(GPA)).mov(dword(RESULT), 1)
      asm.mov(eax, 0x6_2000).mov(cr3, eax).mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax).mov(eax, 1)
    })
    vacate(p2m, GFN, 4)
    p2m.onDemand.mark(GFN, 4)
    p2m.onDemand.setCache(4)
    expect((await guest.run()).reason).toBe('vcpu-shutdown')
    expect([guest.read32(RESULT), typeOf(p2m, GFN + 2), typeOf(p2m, GFN + 3)]).toEqual([
      1,
      P2mType.RAM_RW,
      P2mType.POPULATE_ON_DEMAND,
    ])
  })

  test('with an empty cache, frames of zeros are taken from elsewhere, when device models have let go of them', async () => {
    const { guest, p2m } = guestOf((asm) => {
      asm
        .mov(eax, dword(GPA))
        .mov(dword(GPA + 0x1000), 7)
        .mov(eax, dword(GPA + 0x1000))
        .mov(dword(RESULT), eax)
    })
    vacate(p2m, GFN, 2)
    p2m.onDemand.mark(GFN, 2)
    p2m.onDemand.setCache(1)
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), typeOf(p2m, GFN)]).toEqual([7, P2mType.POPULATE_ON_DEMAND])
  })

  test('with no more memory the domain ends', async () => {
    const { guest, p2m } = guestOf((asm) => asm.mov(eax, dword(GPA)))
    // No frame of zeros is left.
    for (let gfn = 0; gfn < 0x100; gfn++) guest.domain.guestMemory.load(gfn * 4096 + 4092, Uint8Array.of(1))
    vacate(p2m, GFN)
    p2m.onDemand.mark(GFN, 1)
    expect(await guest.run()).toEqual({
      reason: 'memory-failure',
      failure: { cause: 'out-of-memory', vcpu: 0, gfn: GFN },
    })
  })

  test('a device’s DMA populates as well', async () => {
    const { guest, p2m } = guestOf(() => undefined)
    vacate(p2m, GFN)
    p2m.onDemand.mark(GFN, 1)
    p2m.onDemand.setCache(1)
    expect(guest.domain.platform.dma.write(GPA + 4, Uint8Array.of(9))).toBe(true)
    expect([guest.memory.u8[p2m.translate(GPA + 4)], p2m.onDemand.entries]).toEqual([9, 0])
  })
})

describe('paging', () => {
  /** A pager that keeps contents in an array, and takes its time. */
  async function pager(guest: Guest, gfns: readonly number[], answer = true): Promise<{ asked: [number, string][] }> {
    const { p2m, secondLevel, memory } = guest.domain
    const contents = new Map<number, Uint8Array>()
    for (const gfn of gfns) {
      contents.set(gfn, memory.read(p2m.translate(gfn * 4096), 4096))
      // Device models let go of a frame before it is evicted.
      await guest.domain.changeMemory(() => p2m.paging.nominate(gfn))
      p2m.paging.evict(gfn)
    }
    const asked: [number, string][] = []
    secondLevel.onPageRequest = (gfn, how) => {
      asked.push([gfn, how])
      if (!answer) return
      setTimeout(() => {
        if (how === 'load') p2m.paging.prepare(gfn, contents.get(gfn) as Uint8Array)
        p2m.paging.resume(gfn)
      }, 2)
    }
    return { asked }
  }

  test('a vCPU waits until what it reads and writes is back, and nothing is done twice', async () => {
    const { guest, p2m } = guestOf(addTwice)
    guest.domain.guestMemory.load(GPA + 8, Uint8Array.of(3))
    const { asked } = await pager(guest, [GFN])
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), asked, typeOf(p2m, GFN)]).toEqual([13, [[GFN, 'load']], P2mType.RAM_RW])
  })

  test('an instruction that waits for a frame, and then for a device, gets both, though a notice goes out meanwhile', async () => {
    const stored: number[] = []
    let held: GuestMapping | undefined
    const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2))
    const late = defineDevice({
      name: 'late',
      mmio: { base: 0x80_0000, size: 0x1000 },
      read: () => 0,
      write: async (_offset, _size, value) => {
        await later()
        stored.push(value)
      },
      attach: ({ dma }) => void (held = dma.map(GPA + 0x1000, 16)),
    })
    const copy = (asm: Assembler): Assembler => asm.mov(esi, imm32(GPA)).mov(edi, imm32(0x80_0000)).movsd()
    const { guest, p2m } = guestOf(copy, { devices: [late] })
    guest.domain.guestMemory.load(GPA, Uint8Array.of(9))
    await guest.domain.changeMemory(() => p2m.paging.nominate(GFN))
    guest.domain.secondLevel.onPageRequest = (gfn) => {
      // Something else leaves the map; the frame comes, and only then does the model let go.
      void later().then(async () => {
        const gone = guest.domain.changeMemory(() => p2m.remove(gfn + 1, p2m.translate((gfn + 1) * 4096) / 4096))
        await later()
        p2m.paging.resume(gfn)
        await later()
        held?.release()
        await gone
      })
    }
    expect(await guest.run()).toEqual(DONE)
    expect(stored).toEqual([9])
  })

  test('both frames of an access, its table and its code may be out', async () => {
    const { guest } = guestOf((asm) => {
      asm.mov(eax, 0x6_4000).mov(cr3, eax).mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax)
      asm.mov(eax, dword(GPA + 0xffe)).mov(dword(RESULT), eax)
      asm
        .mov(esi, imm32(GPA + 0xff0))
        .mov(edi, imm32(0x6_2ff0))

        .mov(eax, dword(GPA + 0x1ffe))
    })
    const { guestMemory } = guest.domain
    guestMemory.load(GPA + 0xffe, Uint8Array.of(1, 2, 3, 4))
    guestMemory.load(0x6_4000, Uint8Array.of(0x07, 0x50, 0x06, 0))
    for (let i = 0; i < 1024; i++) guestMemory.load(0x6_5000 + 4 * i, Uint8Array.of(7, (i << 4) & 0xff, i >>> 4, 0))
    const { asked } = await pager(guest, [GFN, GFN + 1, GFN + 2, GFN + 4, GFN + 5, 0x10])
    expect(await guest.run()).toEqual(DONE)
    expect(guest.read32(RESULT)).toBe(0x0403_0201)
    expect(asked.map(([gfn]) => gfn).sort((a, b) => a - b)).toEqual([0x10, GFN, GFN + 1, GFN + 2, GFN + 4, GFN + 5])
  })

  test.each([
    { form: 'MOVS', build: (asm: Assembler) => asm.movsd() },
    { form: 'CMPS, which reads both', build: (asm: Assembler) => asm.cmpsd() },
    { form: 'PUSH of memory', build: (asm: Assembler) => asm.push(dword(0xfe00_0000)) },
    { form: 'XCHG after a read', build: (asm: Assembler) => asm.mov(eax, dword(0xfe00_0000)).xchg(dword(GPA), eax) },
  ])('what a device has answered before the wait is not asked again: $form', async ({ build }) => {
    let reads = 0
    const device = defineDevice({
      name: 'counter',
      synchronous: true,
      mmio: { base: 0xfe00_0000, size: 0x1000 },
      read: () => ++reads,
    })
    const { guest } = guestOf(
      (asm) => {
        asm
          .mov(esp, GPA + 0x1000)
          .mov(esi, imm32(0xfe00_0000))
          .mov(edi, imm32(GPA))
        build(asm)
      },
      { devices: [device] },
    )
    const { asked } = await pager(guest, [GFN])
    expect(await guest.run()).toEqual(DONE)
    expect([reads, asked]).toEqual([1, [[GFN, 'load']]])
  })

  test('the instruction behind a STI may be out, and is still protected when it comes', async () => {
    // STI at the end of a page, CLI at the beginning of the next one: no interrupt comes in between.
    const { guest } = guestOf((asm) => asm.mov(eax, imm32(GPA + 0xfff)).jmp(eax))
    guest.domain.guestMemory.load(GPA + 0xfff, Uint8Array.of(0xfb, 0xfa, 0xb0, 0, 0xe6, EXIT_PORT))
    await pager(guest, [GFN + 1])
    const vcpu = guest.domain.vcpus[0] as X86Vcpu
    let taken = 0
    Object.assign(vcpu, {
      acknowledgeInterrupt: () => {
        taken++
        return -1
      },
    })
    vcpu.cpu.setInterruptPending(true)
    expect(await guest.run()).toEqual(DONE)
    expect(taken).toBe(0)
  })

  test('an event is delivered through a frame that is out', async () => {
    const { guest, p2m } = guestOf((asm) => asm.int3())
    // The IDT's frame; its handler ends the domain in whatever way it does with it there.
    const expected = await guestOf((asm) => asm.int3()).guest.run()
    const { asked } = await pager(guest, [8])
    expect(await guest.run()).toEqual(expected)
    expect([asked, typeOf(p2m, 8)]).toEqual([[[8, 'load']], P2mType.RAM_RW])
  })

  test('two vCPUs that wait for one frame both go on, and it is asked for once', async () => {
    const { guest } = guestOf(
      (asm) => {
        const again = asm.label()
        asm.mov(eax, 1).add(dword(GPA + 4), eax)
        asm
          .bind(again)
          .pause()
          .cmp(dword(GPA + 4), 2)
          .jne(again)
      },
      { vcpus: 2 },
    )
    guest.domain.vcpus[1]?.cpu.load({ ...PROTECTED, registers: { rip: CODE, rsp: STACK - 0x1000, rflags: 2 } })
    const { asked } = await pager(guest, [GFN])
    expect(await guest.run()).toEqual(DONE)
    expect([asked, guest.read32(GPA + 4)]).toEqual([[[GFN, 'load']], 2])
  })

  /** A guest that turns paging on, with its directory at GFN and its table behind it, and stores to RESULT. */
  function pagedGuest(access: number): { guest: Guest; p2m: P2m; tableBits: () => number } {
    const { guest, p2m } = guestOf((asm) => {
      asm.mov(eax, 0x6_0000).mov(cr3, eax).mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax).mov(dword(RESULT), 1)
    })
    const { guestMemory } = guest.domain
    guestMemory.load(0x6_0000, Uint8Array.of(0x07, 0x10, 0x06, 0))
    for (let i = 0; i < 1024; i++) guestMemory.load(0x6_1000 + 4 * i, Uint8Array.of(7, (i << 4) & 0xff, i >>> 4, 0))
    p2m.setAccess(GFN, 2, access)
    return { guest, p2m, tableBits: () => guest.read32(0x6_1000 + 4 * (RESULT >>> 12)) & 0x60 }
  }

  test('accessed and dirty bits are set where the mask allows the processor’s walks alone', async () => {
    const { guest, tableBits } = pagedGuest(P2mAccess.R_PW)
    let violations = 0
    guest.domain.secondLevel.onAccessViolation = () => violations++
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), violations, tableBits()]).toEqual([1, 0, 0x60])
  })

  test('accessed and dirty bits wait for the monitor where the mask allows no write at all', async () => {
    const { guest, p2m, tableBits } = pagedGuest(P2mAccess.R)
    const told: [number, number, number][] = []
    guest.domain.secondLevel.onAccessViolation = ({ gfn, wanted }) => {
      told.push([gfn, wanted, tableBits()])
      setTimeout(() => p2m.setAccess(gfn, 1, P2mAccess.RW), 1)
    }
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), tableBits()]).toEqual([1, 0x60])
    // The directory and the table, neither of which has been written before.
    expect(told.toSorted()).toEqual([
      [GFN, P2M_WRITE, 0],
      [GFN + 1, P2M_WRITE, 0],
    ])
  })

  test('a frame that was only nominated is there again at once, or when the pager says so', async () => {
    const { guest, p2m } = guestOf((asm) => asm.mov(eax, dword(GPA)))
    p2m.paging.nominate(GFN)
    expect(await guest.run()).toEqual(DONE)
    expect(typeOf(p2m, GFN)).toBe(P2mType.RAM_RW)
  })

  test('a device model is refused, and the page is asked for', async () => {
    const { guest } = guestOf(() => undefined)
    const { asked } = await pager(guest, [GFN], false)
    expect([guest.domain.platform.dma.read(GPA, new Uint8Array(4)), asked]).toEqual([false, [[GFN, 'load']]])
  })

  test('a vCPU that waits is reset like any other', async () => {
    const { guest, p2m } = guestOf((asm) => asm.mov(eax, dword(GPA)))
    const { asked } = await pager(guest, [GFN], false)
    setTimeout(() => guest.domain.stop({ reason: 'stopped' }), 20)
    expect(await guest.run()).toEqual({ reason: 'stopped' })
    expect([asked.length, guest.domain.secondLevel.waits(0)]).toEqual([1, true])
    guest.domain.reset()
    expect([guest.domain.secondLevel.waits(0), typeOf(p2m, GFN)]).toEqual([false, P2mType.RAM_PAGING_IN])
  })
})

describe('shared and broken frames, ROM, and others’', () => {
  test('a write to a shared frame is made to a copy', async () => {
    const { guest, p2m } = guestOf(addTwice)
    p2m.share(GFN, p2m, GFN + 1)
    const shared = p2m.translate(GPA)
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), p2m.translate(GPA) === shared, guest.read32(GPA + 0x1008)]).toEqual([10, false, 0])
  })

  test('DMA into a shared frame goes to a copy too', () => {
    const { guest, p2m } = guestOf(() => undefined)
    p2m.share(GFN, p2m, GFN + 1)
    guest.domain.guestMemory.load(GPA, Uint8Array.of(1))
    expect(guest.domain.platform.dma.write(GPA + 0x1000, Uint8Array.of(2))).toBe(true)
    expect([guest.read32(GPA), guest.read32(GPA + 0x1000)]).toEqual([1, 2])
  })

  test('a broken frame ends the domain', async () => {
    const { guest, p2m } = guestOf((asm) => asm.mov(dword(GPA), 1))
    p2m.markBroken(GFN)
    expect(await guest.run()).toEqual({ reason: 'memory-failure', failure: { cause: 'broken', vcpu: 0, gfn: GFN } })
  })

  test.each([
    { type: P2mType.RAM_RO, how: (p2m: P2m) => p2m.setType(GFN, 1, P2mType.RAM_RO) },
    {
      type: P2mType.GRANT_MAP_RO,
      how: (p2m: P2m) => p2m.insertForeign(GFN, p2m.memory.frames.allocate(), P2mType.GRANT_MAP_RO),
    },
    {
      type: P2mType.MMIO_DIRECT,
      how: (p2m: P2m) => {
        const mfn = p2m.memory.frames.allocate()
        p2m.declareReadOnly(mfn, 1)
        p2m.insert(GFN, mfn, 0, P2mType.MMIO_DIRECT)
      },
    },
  ])('a write to type $type is discarded', async ({ how, type }) => {
    const { guest, p2m } = guestOf(addTwice)
    const board: number[] = []
    guest.domain.romWrite = (gpa) => board.push(gpa)
    how(p2m)
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), typeOf(p2m, GFN)]).toEqual([0, type])
    // The board hears of what is written to its ROM, and not of others' frames.
    expect(board).toEqual(type === P2mType.RAM_RO ? [GPA + 8, GPA + 8] : [])
  })

  test('another guest’s frame is not executed', async () => {
    const { guest, p2m } = guestOf((asm) => asm.mov(eax, imm32(GPA)).jmp(eax))
    p2m.insertForeign(GFN, p2m.memory.frames.allocate(), P2mType.MAP_FOREIGN)
    expect(await guest.run()).toEqual({
      reason: 'memory-failure',
      failure: { cause: 'not-executable', vcpu: 0, gfn: GFN },
    })
  })

  test('a hole is a device’s, whatever kind of hole it is', async () => {
    const { guest, p2m } = guestOf((asm) => asm.mov(eax, dword(GPA)).mov(dword(RESULT), eax))
    p2m.insert(GFN, INVALID_MFN, 0, P2mType.INVALID)
    expect(await guest.run()).toEqual(DONE)
    expect(guest.read32(RESULT)).toBe(0xffff_ffff)
  })
})

describe('writes that a server claims', () => {
  test('go to a server that has no ranges there, with the address as it is', async () => {
    const { guest, p2m } = guestOf((asm) => {
      asm
        .mov(dword(GPA + 0x10), imm32(0x1234))
        .mov(eax, dword(GPA + 0x10))
        .mov(dword(RESULT), eax)
    })
    const requests: [number, number, number, number][] = []
    const request = createIoRequest()
    const server = guest.domain.dispatch.createServer({
      name: 'watcher',
      transport: {
        notify: (vcpu) => {
          const slot = server.slot(vcpu)
          slot.accept(request)
          if (request.type === IOREQ_TYPE_COPY) {
            requests.push([request.direction, request.addressLo, request.size, request.dataLo])
          }
          setTimeout(() => {
            slot.answer(0, 0)
            server.answered(vcpu)
          }, 1)
        },
      },
    })
    server.setState(true)
    p2m.writeClaim.claim(server.id)
    p2m.writeClaim.add(GFN, 1)
    expect(await guest.run()).toEqual(DONE)
    expect([requests, guest.read32(RESULT)]).toEqual([[[0, GPA + 0x10, 4, 0x1234]], 0])
    server.destroy()
    expect([guest.domain.secondLevel.claimant(GPA), p2m.writeClaim.server]).toEqual([null, -1])
  })

  test('go to the model that has the range, and reads are RAM’s', async () => {
    const writes: [number, number, number][] = []
    const model = defineDevice({
      name: 'framebuffer',
      mmio: { base: GPA, size: 0x1000 },
      read: () => Promise.resolve(0xdead),
      write: async (offset, size, value) => {
        await Promise.resolve()
        writes.push([offset, size, value])
      },
    })
    const { guest, p2m } = guestOf(
      (asm) => {
        asm
          .mov(dword(GPA + 0x10), imm32(0x1234))
          .mov(eax, dword(GPA + 0x10))
          .mov(dword(RESULT), eax)
        // A read-modify-write: the read is RAM's, the write the model's.
        asm
          .add(dword(GPA + 8), imm32(2))
          .mov(eax, dword(GPA + 8))
          .mov(dword(RESULT + 4), eax)
        // String writes, one by one.
        asm
          .mov(edi, imm32(GPA + 0x20))
          .mov(eax, imm32(7))
          .stosd()
          .stosd()
      },
      { devices: [model] },
    )
    guest.domain.guestMemory.load(GPA + 8, Uint8Array.of(40))
    p2m.writeClaim.claim(guest.domain.devices.server.id)
    p2m.writeClaim.add(GFN, 1)
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), guest.read32(RESULT + 4)]).toEqual([0, 40])
    expect(writes).toEqual([
      [0x10, 4, 0x1234],
      [8, 4, 42],
      [0x20, 4, 7],
      [0x24, 4, 7],
    ])
  })

  test('whose claim has ended are RAM’s again at the first write', async () => {
    const { guest, p2m } = guestOf(addTwice)
    p2m.writeClaim.claim(0)
    p2m.writeClaim.add(GFN, 2)
    p2m.writeClaim.end(0)
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), typeOf(p2m, GFN), p2m.writeClaim.frames]).toEqual([10, P2mType.RAM_RW, 1])
  })

  test('whose server has gone are RAM’s too', async () => {
    const { guest, p2m } = guestOf(addTwice)
    p2m.writeClaim.claim(7)
    p2m.writeClaim.add(GFN, 1)
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), p2m.writeClaim.server]).toEqual([10, -1])
  })
})

describe('access masks', () => {
  test('are lifted at the first violation if nobody listens', async () => {
    const { guest, p2m } = guestOf(addTwice)
    p2m.setAccess(GFN, 1, P2mAccess.R)
    expect(await guest.run()).toEqual(DONE)
    expect([guest.read32(RESULT), p2m.lookup(GFN, new P2mEntry())]).toEqual([10, P2mType.RAM_RW])
  })

  test('a vCPU waits until the monitor allows what it is told of, once', async () => {
    const { guest, p2m } = guestOf(addTwice)
    p2m.setAccess(GFN, 1, P2mAccess.RX)
    const seen: AccessViolation[] = []
    guest.domain.secondLevel.onAccessViolation = (violation) => {
      seen.push(violation)
      setTimeout(() => p2m.setAccess(GFN, 1, P2mAccess.RW), 5)
    }
    expect(await guest.run()).toEqual(DONE)
    expect(guest.read32(RESULT)).toBe(10)
    expect(seen).toEqual([{ vcpu: 0, gfn: GFN, wanted: P2M_WRITE, access: P2mAccess.RX }])
  })

  test('what is forbidden anew is told anew', async () => {
    const { guest, p2m } = guestOf((asm) => {
      for (let i = 0; i < 3; i++)
        asm
          .mov(dword(GPA + 4 * i), 1)
          .mov(al, 1)
          .out(0xe9, al)
    })
    const allow = (access: number): number => p2m.setAccess(GFN, 1, access)
    allow(P2mAccess.RX)
    // What the guest says after each store forbids the next one.
    Object.assign(guest.output, { push: () => allow(P2mAccess.RX) })
    let told = 0
    guest.domain.secondLevel.onAccessViolation = () => {
      told++
      setTimeout(() => allow(P2mAccess.RW), 1)
    }
    expect(await guest.run()).toEqual(DONE)
    expect([told, guest.domain.secondLevel.waits(0)]).toEqual([3, false])
  })

  test.each([
    { access: P2mAccess.RX2RW, becomes: P2mAccess.RW, told: 0 },
    { access: P2mAccess.N2RWX, becomes: P2mAccess.RWX, told: 1 },
  ])('access $access changes by itself', async ({ access, becomes, told }) => {
    const { guest, p2m } = guestOf(addTwice)
    p2m.setAccess(GFN, 1, access)
    let seen = 0
    guest.domain.secondLevel.onAccessViolation = () => seen++
    expect(await guest.run()).toEqual(DONE)
    const entry = new P2mEntry()
    p2m.lookup(GFN, entry)
    expect([guest.read32(RESULT), entry.access, seen]).toEqual([10, becomes, told])
  })

  test('a write to ROM is discarded whatever they say: they forbid what the type allows', async () => {
    const { guest, p2m } = guestOf(addTwice)
    p2m.setType(GFN, 1, P2mType.RAM_RO)
    p2m.setAccess(GFN, 1, P2mAccess.R)
    const seen: AccessViolation[] = []
    guest.domain.secondLevel.onAccessViolation = (violation) => seen.push(violation)
    expect(await guest.run()).toEqual(DONE)
    const entry = new P2mEntry()
    p2m.lookup(GFN, entry)
    expect([guest.read32(RESULT), seen, entry.access]).toEqual([0, [], P2mAccess.R])
  })

  test('execution is told apart', async () => {
    const { guest, p2m } = guestOf((asm) => asm.mov(eax, imm32(GPA)).jmp(eax))
    guest.domain.guestMemory.load(GPA, Uint8Array.of(0xb0, 0, 0xe6, EXIT_PORT))
    p2m.setAccess(GFN, 1, P2mAccess.RW)
    const wanted: number[] = []
    guest.domain.secondLevel.onAccessViolation = (violation) => {
      wanted.push(violation.wanted)
      p2m.setAccess(GFN, 1, P2mAccess.RX)
    }
    expect(await guest.run()).toEqual(DONE)
    expect(wanted).toEqual([P2M_EXECUTE])
  })
})
