/** Restored RAM whose contents are brought when somebody needs them. */
import { defineDevice, type DeviceDma } from '@retrap/device'
import { P2mAccess, P2mEntry } from '@retrap/p2m'
import { al, cr0, cr3, dword, eax, ebx, imm32, type Assembler } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import * as hvm from '../src/index.ts'
import { EXIT_PORT, Guest } from './support/guest.ts'

const PAGE = 4096
const RAM = 0x20_0000
const FIRST = RAM / PAGE
const COUNT = 0x200
const RESULT = 0x4000
const ACT_PORT = 0x81

type Act = (made: Made) => void
interface Made {
  readonly guest: Guest
  readonly dma: DeviceDma
  readonly late?: hvm.DomainRestoring
}

function made(build: (asm: Assembler) => void, act: Act = () => undefined, clock?: hvm.DomainClock): Made {
  const parts: { dma?: DeviceDma } = {}
  const model = defineDevice({
    name: 'reader',
    stateless: true,
    synchronous: true,
    ports: [{ base: ACT_PORT, size: 1, write: () => act(whole) }],
    attach: (context) => {
      parts.dma = context.dma
    },
  })
  const guest = new Guest(
    (asm) => {
      build(asm)
      asm.out(ACT_PORT, al).mov(al, 0).out(EXIT_PORT, al).hlt()
    },
    { devices: [model], ...(clock !== undefined && { clock }) },
  )
  guest.domain.p2m.populate(FIRST, COUNT)
  const whole = { guest, dma: parts.dma! }
  return whole
}

const valueAt = (frame: number): number => 0x1000_0000 + frame * 3

/** What is in the RAM that comes late: a word a page, code in page 1, page tables in pages 2 and 3. */
function fill({ guest }: Made): void {
  const words = new Uint32Array(1024)
  for (let frame = 4; frame < COUNT; frame += 2) {
    words[0] = valueAt(frame)
    guest.domain.guestMemory.load(RAM + frame * PAGE, new Uint8Array(words.buffer))
  }
  // MOV EAX, 1234H; RET
  guest.domain.guestMemory.load(RAM + PAGE, Uint8Array.of(0xb8, 0x34, 0x12, 0, 0, 0xc3))
  const table = new Uint32Array(1024)
  for (let i = 0; i < 1024; i++) table[i] = (i * PAGE) | 3
  guest.domain.guestMemory.load(RAM + 3 * PAGE, new Uint8Array(table.buffer))
  guest.domain.guestMemory.load(RAM + 2 * PAGE, new Uint8Array(Uint32Array.of((RAM + 3 * PAGE) | 3).buffer))
}

/** Saves a guest that has not run, and returns another that goes on from there, with nothing brought yet. */
async function restored(
  build: (asm: Assembler) => void,
  act?: Act,
  damaged = false,
  ready?: hvm.GuestPageSource['ready'],
  slow?: { readonly clock: hvm.DomainClock; read(): void },
  more?: Pick<hvm.GuestPageSource, 'first' | 'blockFrames'>,
): Promise<Required<Made>> {
  const first = made(build)
  fill(first)
  const { state, pages } = await hvm.saveDomain(first.guest.domain, 1000)
  const source: hvm.GuestPageSource = {
    gfns: pages.gfns,
    contents: (index) => {
      slow?.read()
      if (damaged && pages.gfns[index]! >= FIRST) throw new Error('the file is damaged')
      return pages.bytes.slice(index * PAGE, (index + 1) * PAGE)
    },
    close: () => void closed.push(true),
    ...(ready !== undefined && { ready }),
    ...more,
  }
  const closed: boolean[] = []
  const parts = made(build, (whole) => act?.({ ...whole, late }), slow?.clock)
  const late = await hvm.beginRestoringDomain(parts.guest.domain, { state, pages: source })
  expect(late.left).toBe(COUNT / (more?.blockFrames ?? COUNT))
  expect(closed).toEqual([])
  return { ...parts, late }
}

const DONE = { reason: 'debug-exit', code: 0 }
const WANTED = RAM + 8 * PAGE

test.each<[string, (asm: Assembler) => void, number]>([
  ['reads', (asm) => void asm.mov(eax, dword(WANTED)).mov(dword(RESULT), eax), valueAt(8)],
  ['adds to', (asm) => void asm.add(dword(WANTED), 2).mov(eax, dword(WANTED)).mov(dword(RESULT), eax), valueAt(8) + 2],
  [
    'calls',
    (asm) =>
      void asm
        .mov(eax, RAM + PAGE)
        .call(eax)
        .mov(dword(RESULT), eax),
    0x1234,
  ],
  [
    'has its page tables in',
    (asm) => {
      asm
        .mov(eax, RAM + 2 * PAGE)
        .mov(cr3, eax)
        .mov(eax, cr0)
        .or(eax, imm32(0x8000_0000))
        .mov(cr0, eax)
      asm.mov(eax, 5).mov(dword(RESULT), eax)
    },
    5,
  ],
  // Zeros, which no contents name.
  [
    'reads zeros of',
    (asm) =>
      void asm
        .mov(eax, dword(RAM + 9 * PAGE))
        .inc(eax)
        .mov(dword(RESULT), eax),
    1,
  ],
])('a vCPU that %s such RAM finds what was saved', async (_what, build, result) => {
  const { guest, late } = await restored(build)
  expect(await guest.domain.run()).toEqual(DONE)
  expect(guest.read32(RESULT)).toBe(result)
  expect(late.left).toBe(0)
})

test.each([512, 32])(
  'a guest has what it touches first, and the zeros around it, without all the rest, which spares what it wrote (blocks of %d frames)',
  async (blockFrames) => {
    const [GIVEN, ZERO, LATER] = [RAM + 8 * PAGE, RAM + 9 * PAGE, RAM + 10 * PAGE]
    const seen: unknown[] = []
    const { guest, late } = await restored(
      (asm) => {
        // It writes the second words, and reads the first.
        asm
          .mov(dword(GIVEN + 4), 77)
          .mov(dword(ZERO + 4), 78)
          .mov(eax, dword(GIVEN))
          .mov(dword(RESULT), eax)
      },
      ({ late: rest, guest: { domain } }) => {
        const entry = new P2mEntry()
        domain.p2m.lookup(LATER / PAGE, entry)
        seen.push(rest!.left, entry.access, domain.memory.readU32(entry.mfn * PAGE))
        rest!.finishNow()
      },
      false,
      undefined,
      undefined,
      { first: Uint32Array.of(FIRST + 8, FIRST + COUNT + 7), blockFrames },
    )
    expect(await guest.domain.run()).toEqual(DONE)
    expect(seen).toEqual([COUNT / blockFrames, P2mAccess.N, 0])
    const words = [GIVEN, GIVEN + 4, ZERO, ZERO + 4, LATER, RESULT].map((address) => guest.read32(address))
    expect(words).toEqual([valueAt(8), 77, 0, 78, valueAt(10), valueAt(8)])
    expect(late.left).toBe(0)
    const entry = new P2mEntry()
    guest.domain.p2m.lookup(FIRST + 20, entry)
    expect([entry.access, entry.order]).toEqual([P2mAccess.RWX, 9])
  },
)

test.each([512, 32])('a frame that leaves the guest has its contents, in blocks of %d frames', async (blockFrames) => {
  const { guest } = await restored(() => undefined, undefined, false, undefined, undefined, {
    first: Uint32Array.of(),
    blockFrames,
  })
  const { domain } = guest
  const entry = new P2mEntry()
  domain.p2m.lookup(WANTED / PAGE, entry)
  domain.frameCounts.tryTake(entry.mfn, 1)
  domain.p2m.remove(WANTED / PAGE, entry.mfn)
  expect(domain.memory.readU32(entry.mfn * PAGE)).toBe(valueAt(8))
  domain.frameCounts.drop(entry.mfn, 1)
})

test('a frame that was not among the first brings its block', async () => {
  const { guest, late } = await restored(
    (asm) =>
      void asm
        .mov(eax, dword(WANTED))
        .mov(ebx, dword(WANTED + 2 * PAGE))
        .mov(dword(RESULT), ebx),
    ({ late: rest }) => expect(rest!.left).toBe(0),
    false,
    undefined,
    undefined,
    { first: Uint32Array.of(FIRST + 8) },
  )
  expect(await guest.domain.run()).toEqual(DONE)
  expect([guest.read32(RESULT), late.left]).toEqual([valueAt(10), 0])
})

test('the pages that a guest touches are the first ones of the next, which reads no others for the same work', async () => {
  const build = (asm: Assembler): void => void asm.add(dword(WANTED), 1).mov(eax, dword(WANTED + 3 * PAGE))
  const saved = made(build)
  fill(saved)
  const { state, pages } = await hvm.saveDomain(saved.guest.domain, 1000)
  const touched = hvm.touchedPages(pages)
  const tried = made(build)
  const trial = await hvm.beginRestoringDomain(tried.guest.domain, { state, pages: touched })
  void trial.finish(() => Promise.resolve())
  expect(await tried.guest.domain.run()).toEqual(DONE)
  const first = touched.touched()
  expect([...first.gfns].filter((gfn) => gfn >= FIRST)).toEqual([FIRST + 8])
  expect(new DataView(first.bytes.buffer).getUint32(first.bytes.length - PAGE, true)).toBe(valueAt(8))

  const read: number[] = []
  const asked: number[] = []
  const all: hvm.GuestPageSource = {
    gfns: pages.gfns,
    contents: (index) => {
      read.push(pages.gfns[index]! - FIRST)
      return pages.bytes.slice(index * PAGE, (index + 1) * PAGE)
    },
    ready: async (index) => void asked.push(pages.gfns[index]! - FIRST),
  }
  const begun = Promise.withResolvers<void>()
  const { guest } = made(build)
  const late = await hvm.beginRestoringDomain(guest.domain, {
    state,
    pages: hvm.withWorkingSet(all, first, begun.promise),
  })
  expect(await guest.domain.run()).toEqual(DONE)
  expect(read.filter((frame) => frame >= 0)).toEqual([])
  const finished = late.finish(() => Promise.resolve())
  await Promise.resolve()
  expect(asked).toEqual([])
  begun.resolve()
  await finished
  expect([late.left, guest.read32(WANTED), guest.read32(WANTED + 2 * PAGE)]).toEqual([0, valueAt(8) + 1, valueAt(10)])
  expect(asked).toContain(32)
  expect(() => hvm.withWorkingSet(all, { ...first, bytes: first.bytes.subarray(1) }, begun.promise)).toThrow(
    hvm.HvmError,
  )
})

test('contents are fetched ahead before they are brought in the background, and brought where that fails', async () => {
  for (const fails of [false, true]) {
    const asked: [number, number][] = []
    const { guest, late } = await restored(
      () => undefined,
      undefined,
      false,
      async (index, end) => {
        asked.push([index, end])
        expect(late.left).toBe(1)
        if (fails) throw new Error('the server is gone')
      },
    )
    await late.finish(async () => {})
    expect(asked).toHaveLength(1)
    expect(asked[0]![1] - asked[0]![0]).toBe(3 + (COUNT - 4) / 2)
    expect(guest.read32(WANTED)).toBe(valueAt(8))
    expect(late.left).toBe(0)
  }
})

/** The word that is wanted, through a mapping. */
function mapped(dma: DeviceDma): number {
  using mapping = dma.map(WANTED, 4)
  const into = new Uint8Array(4)
  mapping.read(0, into)
  return word(into)
}

const word = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)

test.each<[string, (made: Made) => number]>([
  [
    'a copy',
    ({ dma }) => {
      const bytes = new Uint8Array(4)
      expect(dma.read(WANTED, bytes)).toBe(true)
      return word(bytes)
    },
  ],
  ['a mapping', ({ dma }) => mapped(dma)],
  [
    'a write beside it',
    ({ dma }) => {
      dma.write(WANTED + 64, Uint8Array.of(1))
      return mapped(dma)
    },
  ],
  [
    'a mapping for writing, beside it',
    ({ dma }) => {
      using mapping = dma.mapForWriting(WANTED + PAGE, 4)
      mapping.write(0, Uint8Array.of(1))
      return mapped(dma)
    },
  ],
  ['a debugger', ({ guest }) => word(guest.domain.vcpus[0]!.translation.peekCode(BigInt(WANTED), 4))],
  [
    'whoever takes the frame from the guest',
    ({ guest: { domain } }) => {
      const entry = new P2mEntry()
      domain.p2m.lookup(WANTED / PAGE, entry)
      domain.frameCounts.tryTake(entry.mfn, 1)
      domain.p2m.remove(WANTED / PAGE, entry.mfn)
      const found = domain.memory.readU32(entry.mfn * PAGE)
      domain.frameCounts.drop(entry.mfn, 1)
      return found
    },
  ],
  ['a save', ({ guest: { domain }, late }) => (late!.finishNow(), domain.memory.readU32(domain.p2m.translate(WANTED)))],
])('%s finds what was saved', async (_who, act) => {
  const found: number[] = []
  const { guest, late } = await restored(
    () => undefined,
    (parts) => void found.push(act(parts)),
  )
  expect(await guest.domain.run()).toEqual(DONE)
  expect(found).toEqual([valueAt(8)])
  // What is left comes in the background, whoever changed the map.
  await late.finish(() => Promise.resolve())
  expect(late.left).toBe(0)
  const entry = new P2mEntry()
  guest.domain.p2m.lookup(FIRST + 20, entry)
  expect(entry.access).toBe(P2mAccess.RWX)
  expect(guest.read32(RAM + 20 * PAGE)).toBe(valueAt(20))
})

test('a guest is saved while its RAM is still coming', async () => {
  const { guest } = await restored(() => undefined)
  const { pages } = await hvm.saveDomain(guest.domain, 1000)
  const index = pages.gfns.indexOf(FIRST + 8)
  expect(word(pages.bytes.subarray(index * PAGE))).toBe(valueAt(8))
})

const UNREADABLE = {
  reason: 'memory-failure',
  failure: { cause: 'unreadable', error: new Error('the file is damaged') },
}

test.each<[string, (asm: Assembler) => void, Act]>([
  ['a vCPU', (asm) => void asm.mov(ebx, dword(WANTED)), () => undefined],
  ['a device', () => undefined, ({ dma }) => expect(dma.read(WANTED, new Uint8Array(4))).toBe(false)],
])('contents that cannot be read end the machine when %s needs them', async (_who, build, act) => {
  const { guest } = await restored(build, act, true)
  expect(await guest.domain.run()).toMatchObject(UNREADABLE)
})

test('contents that cannot be read end the machine when they come in the background', async () => {
  const { guest, late } = await restored(() => undefined, undefined, true)
  await late.finish(() => Promise.resolve())
  expect(await guest.domain.run()).toMatchObject(UNREADABLE)
})

test.each<[string, (state: hvm.X86DomainState) => unknown]>([
  ['version', (state) => ({ ...state, version: 2 })],
  ['processor', ({ vcpus, ...state }) => ({ ...state, vcpus: vcpus.map((vcpu) => ({ ...vcpu, version: 99 })) })],
])('a source is told, once, that a state of another %s needs none of it', async (_what, change) => {
  const first = made(() => undefined)
  fill(first)
  const { state, pages } = await hvm.saveDomain(first.guest.domain, 1000)
  let closed = 0
  const contents = (index: number): Uint8Array => pages.bytes.slice(index * PAGE, (index + 1) * PAGE)
  const source: hvm.GuestPageSource = { gfns: pages.gfns, contents, close: () => void closed++ }
  const { domain } = made(() => undefined).guest
  const restoring = hvm.beginRestoringDomain(domain, { state: change(state) as hvm.X86DomainState, pages: source })
  await expect(restoring.then(() => 'restored')).rejects.toThrow()
  expect(closed).toBe(1)
})

test("the time in which a vCPU waits for such RAM is not the guest's", async () => {
  let host = 0
  const clock = new hvm.RealClock(() => host)
  const read = (): void => void (host += 1e9)
  const { guest } = await restored((asm) => void asm.mov(eax, dword(WANTED)), undefined, false, undefined, {
    clock,
    read,
  })
  const began = clock.now()
  expect(await guest.domain.run()).toEqual(DONE)
  expect(host).toBeGreaterThan(200e9)
  expect(clock.now()).toBe(began)
})

test('address line 20 is as it was when the owner restores what it has mapped, and afterwards', async () => {
  const [saved, guest] = [new Guest((asm) => asm.hlt()), new Guest((asm) => asm.hlt())]
  saved.domain.a20 = false
  const seen: boolean[] = []
  const snapshot = await hvm.saveDomain(saved.domain, 1000)
  await hvm.restoreDomain(guest.domain, snapshot, () => seen.push(guest.domain.a20))
  // An address in an odd MiB is put on the bus as that below.
  const { translation } = guest.domain.vcpus[0]!
  expect([seen, guest.domain.a20, translation.peekPhysical(0x10_1234n)]).toEqual([[false], false, 0x1234])
})
