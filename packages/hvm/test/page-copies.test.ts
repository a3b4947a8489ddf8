/** RAM that is saved as it was while everybody who can writes it on. */
import { P2mType } from '@retrap/p2m'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { beginCopying, noteWrites, saveDomainState } from '../src/index.ts'
import type { DomainServer, FrameSet, GuestPages, PageCopies, X86Domain } from '../src/index.ts'
import { Guest } from './support/guest.ts'
import { COUNT, FIRST, fresh, made, PAGE, type Writer, WRITERS } from './support/written-guest.ts'

/** Begins to save a domain, whose device models go on. */
async function beginSaving(domain: X86Domain, written?: FrameSet): Promise<PageCopies> {
  const rest = await domain.rest(1000)
  try {
    await saveDomainState(domain, rest)
    return await beginCopying(domain, written)
  } finally {
    rest.end()
  }
}

/** The contents of all RAM but its first MiB, by guest frame. */
function contents({ p2m, memory }: X86Domain): Map<number, string> {
  const found = new Map<number, string>()
  for (let gfn = FIRST; gfn < FIRST + COUNT; gfn++) {
    const ma = p2m.translate(gfn * PAGE)
    const bytes = ma < 0 ? new Uint8Array() : memory.u8.subarray(ma, ma + PAGE)
    if (bytes.some((byte) => byte !== 0)) found.set(gfn, Buffer.from(bytes).toString('latin1'))
  }
  return found
}

const savedContents = ({ gfns, bytes }: GuestPages): Map<number, string> =>
  new Map(
    [...gfns.entries()]
      .filter(([, gfn]) => gfn >= FIRST)
      .map(([i, gfn]) => [gfn, Buffer.from(bytes.subarray(i * PAGE, (i + 1) * PAGE)).toString('latin1')]),
  )

const ALL: readonly Writer[] = [
  ...WRITERS,
  ['a copy of some', ({ dma }) => void dma.writeSome(0x12_0ffc, fresh(8))],
  [
    'a cache that knows the frames from before',
    ({ dma }) => void dma.write(0x14_0000, fresh(4)),
    ({ dma }) => {
      dma.write(0x14_0000, Uint8Array.of(1))
      return () => undefined
    },
  ],
  ['a write after RAM became ROM', ({ guest: { domain } }) => void domain.p2m.setType(0x200, 1, P2mType.RAM_RO)],
  [
    'a log that begins meanwhile',
    ({ guest: { domain }, dma }) => {
      domain.dirtyLogs.start(0x180, 0x100)
      dma.write(0x18_0000, fresh(0x2000))
    },
  ],
]

test.each(ALL)('what %s writes after the instant is not saved', async (_who, act, before) => {
  for (const checked of [false, true]) {
    const parts = made(act, checked)
    const { domain } = parts.guest
    const later = before?.(parts)
    expect(await domain.run()).toEqual({ reason: 'pause' })
    const expected = contents(domain)
    const saving = await beginSaving(domain)
    later?.()
    expect(await domain.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(contents(domain)).not.toEqual(expected)
    expect(savedContents(await saving.collect(() => Promise.resolve()))).toEqual(expected)
  }
})

test.each(ALL)('what %s writes after an instant is all that a save since then has', async (_who, act, before) => {
  const parts = made(act)
  const { domain } = parts.guest
  const later = before?.(parts)
  expect(await domain.run()).toEqual({ reason: 'pause' })
  const log = (await noteWrites(domain))!
  const since = log.note()
  const merged = contents(domain)
  later?.()
  expect(await domain.run()).toEqual({ reason: 'debug-exit', code: 0 })
  const expected = contents(domain)
  expect(expected).not.toEqual(merged)
  const pages = await (await beginSaving(domain, since.now())).collect(() => Promise.resolve())
  expect(pages.onlyWritten).toBe(true)
  const few = savedContents(pages)
  // Of a copy over many frames there are 33.
  expect(few.size).toBeLessThan(50)
  for (const [gfn, bytes] of few) merged.set(gfn, bytes)
  const zeros = '\0'.repeat(PAGE)
  for (let gfn = FIRST; gfn < FIRST + COUNT; gfn++)
    expect(`${gfn}: ${merged.get(gfn) ?? zeros}` === `${gfn}: ${expected.get(gfn) ?? zeros}`, `frame ${gfn}`).toBe(true)
})

test('RAM that is written while it is copied is saved as it was, and is written as before afterwards', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(COUNT - 1), fc.nat(255)), { maxLength: 400 }), async (writes) => {
      const { guest } = made(() => undefined)
      const { domain } = guest
      for (let i = 0; i < COUNT; i++) domain.guestMemory.write((FIRST + i) * PAGE, Uint8Array.of(i + 1))
      const leaves = [...domain.p2m.leaves()]
      const expected = contents(domain)
      const saving = await beginSaving(domain)
      const write = (): void => {
        for (const [frame, value] of writes)
          domain.guestMemory.write((FIRST + frame) * PAGE + value, Uint8Array.of(value))
      }
      let turns = 0
      const pages = await saving.collect(async () => {
        if (turns++ === 0) write()
      })
      expect(turns).toBeGreaterThan(0)
      expect(savedContents(pages)).toEqual(expected)
      expect([...domain.p2m.leaves()]).toEqual(leaves)
      expect(domain.dirtyLogs.beforeWrites).toBeNull()
    }),
    { numRuns: 10 },
  )
})

test('a log that somebody keeps goes on when RAM has been copied', async () => {
  const { guest } = made(() => undefined)
  const { domain } = guest
  const log = domain.dirtyLogs.start(0x180, 0x20)
  const saving = await beginSaving(domain)
  await saving.collect(() => Promise.resolve())
  expect(log.take(new Uint32Array(1))).toBe(0)
  domain.guestMemory.write(0x18_1000, Uint8Array.of(1))
  const bits = new Uint32Array(1)
  expect([log.take(bits), bits[0]]).toEqual([1, 2])
})

test('a guest goes on whose frame cannot be copied, and there is no copy', async () => {
  const { guest } = made(() => undefined)
  const { domain } = guest
  const leaves = [...domain.p2m.leaves()]
  const saving = await beginSaving(domain)
  const { u8 } = domain.memory
  u8.slice = () => {
    throw new RangeError('no memory')
  }
  expect(await domain.run()).toEqual({ reason: 'pause' })
  expect(await domain.run()).toMatchObject({ reason: 'debug-exit' })
  delete (u8 as Partial<Uint8Array>).slice
  await expect(saving.collect(() => Promise.resolve())).rejects.toThrow('no memory')
  expect([...domain.p2m.leaves()]).toEqual(leaves)
})

test('a save that is given up leaves the guest as it was', async () => {
  const { domain } = made(() => undefined).guest
  const leaves = [...domain.p2m.leaves()]
  const saving = await beginSaving(domain)
  saving.close()
  expect([...domain.p2m.leaves()]).toEqual(leaves)
  expect([domain.dirtyLogs.beforeWrites, domain.p2m.writeLogs.covers(FIRST)]).toEqual([null, false])
})

test('RAM is copied before another thread may write it', async () => {
  const guest = new Guest((asm) => void asm.hlt(), { shared: true })
  const { domain } = guest
  domain.p2m.populate(FIRST, COUNT)
  domain.guestMemory.write(0x30_0000, Uint8Array.of(1))
  const saving = await beginSaving(domain)
  domain.addServer({ remote: { onClosed: () => undefined }, close: () => undefined } as unknown as DomainServer)
  domain.memory.u8[domain.p2m.translate(0x30_0000)] = 2
  const saved = savedContents(await saving.collect(() => Promise.resolve()))
  expect(saved.get(0x300)?.charCodeAt(0)).toBe(1)
})

test('a copy that fails leaves the guest as it was', async () => {
  const { guest } = made(() => undefined)
  const { domain } = guest
  for (let i = 0; i < COUNT; i++) domain.guestMemory.write((FIRST + i) * PAGE, Uint8Array.of(1))
  const leaves = [...domain.p2m.leaves()]
  const saving = await beginSaving(domain)
  await expect(saving.collect(() => Promise.reject(new RangeError('no memory')))).rejects.toThrow('no memory')
  expect([...domain.p2m.leaves()]).toEqual(leaves)
  expect([domain.dirtyLogs.beforeWrites, domain.p2m.writeLogs.covers(FIRST)]).toEqual([null, false])
  expect(await domain.run()).toEqual({ reason: 'pause' })
})
