/** RAM that is put back to what it was, whoever has written it. */
import { createHash } from 'node:crypto'
import { P2mType } from '@retrap/p2m'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkpointDomain, type DomainCheckpoint, saveDomain } from '../src/index.ts'
import { BeforeImages } from '../src/checkpoints/before-images.ts'
import type { X86Domain, X86DomainState } from '../src/index.ts'
import { COUNT, FIRST, fresh, made, PAGE, type Writer, WRITERS } from './support/written-guest.ts'

async function checkpoint(domain: X86Domain): Promise<DomainCheckpoint<X86DomainState>> {
  const rest = await domain.rest(1000)
  try {
    return await checkpointDomain(domain, rest)
  } finally {
    rest.end()
  }
}

const reset = (instant: DomainCheckpoint<X86DomainState>): Promise<void> =>
  instant.reset(undefined, { deadlineMs: 1000, accepted: () => undefined, returned: () => undefined })

const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('base64')

/** All of a domain as text: processors, controllers, devices, time, and the contents of each frame that is not zeros. */
async function all(domain: X86Domain): Promise<string[]> {
  const { state, pages } = await saveDomain(domain, 1000)
  const text = JSON.stringify(state, (_key, value: unknown) => (value instanceof Uint8Array ? digest(value) : value), 1)
  const frames = [...pages.gfns].map((gfn, i) => `${gfn} ${digest(pages.bytes.subarray(i * PAGE, (i + 1) * PAGE))}`)
  return [...text.split('\n'), ...frames]
}

/** The contents of its RAM. Saving it, as `all` does, has all writes be noticed anew. */
const ram = ({ p2m, memory }: X86Domain): string[] =>
  Array.from({ length: FIRST + COUNT }, (_, gfn) => {
    const ma = p2m.translate(gfn * PAGE)
    return `${gfn} ${digest(memory.u8.subarray(ma, ma + PAGE))}`
  })

test.each<Writer>([
  ...WRITERS,
  ['a copy to conventional memory', ({ dma }) => void dma.write(0x1_0ffc, fresh(8))],
  [
    'a firmware that writes RAM by machine address',
    ({ guest: { domain } }) => domain.memory.write(domain.p2m.translate(0xd_0000), fresh(8)),
  ],
  [
    'a log that begins and ends meanwhile',
    ({ guest: { domain }, dma }) => {
      const log = domain.dirtyLogs.start(0x180, 0x100)
      dma.write(0x18_0000, fresh(0x2000))
      domain.dirtyLogs.stop(log)
      dma.write(0x18_4000, fresh(0x2000))
    },
  ],
  [
    'one who shares frames',
    ({ guest: { domain } }) => {
      domain.p2m.offer(0x100, 0x40).close()
      domain.guestMemory.write(0x11_0000, fresh(0x2000))
    },
  ],
])('what %s writes after the instant is undone, each time', async (who, act, prepare) => {
  for (const checked of who.startsWith('a mapping') ? [false, true] : [false]) {
    const parts = made(act, checked)
    const { domain } = parts.guest
    const later = prepare?.(parts)
    expect(await domain.run()).toEqual({ reason: 'pause' })
    const expected = await all(domain)
    const before = ram(domain)
    const instant = await checkpoint(domain)
    later?.()
    for (let times = 0; times < 2; times++) {
      expect(await domain.run()).toEqual({ reason: 'debug-exit', code: 0 })
      await reset(instant)
      expect(ram(domain)).toEqual(before)
    }
    expect(await all(domain)).toEqual(expected)
  }
})

test('a frame that was written is copied once, and written back only when it was written again', async () => {
  const { guest } = made(() => undefined)
  const { domain } = guest
  const instant = await checkpoint(domain)
  expect(instant.writtenFrames).toBe(0)
  domain.guestMemory.write(0x20_0000, fresh(3 * PAGE))
  domain.guestMemory.write(0x1000, fresh(1))
  expect(instant.writtenFrames).toBe(4)
  await reset(instant)
  expect(instant.writtenFrames).toBe(0)
  // Nobody is told of this, so that a frame that is looked at shows.
  const unknown = domain.p2m.translate(0x20_0010)
  domain.memory.u8[unknown] = 0x11
  domain.guestMemory.write(0x20_1000, fresh(1))
  expect(instant.writtenFrames).toBe(1)
  await reset(instant)
  expect(domain.memory.u8[unknown]).toBe(0x11)
  domain.guestMemory.write(0x20_0000, fresh(1))
  await reset(instant)
  expect(domain.memory.u8[unknown]).toBe(0)
})

test('whatever is written between instants, a guest goes back to any of them', async () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('write' as const),
      gpa: fc.integer({ min: 0x1_0000, max: 0x3f_0000 }),
      length: fc.integer({ min: 1, max: 3 * PAGE }),
      value: fc.nat(255),
      by: fc.constantFrom('loader' as const, 'device' as const),
    }),
    fc.record({ kind: fc.constantFrom('checkpoint' as const, 'reset' as const, 'close' as const), which: fc.nat(5) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { guest, dma } = made(() => undefined)
      const { domain } = guest
      const leaves = [...domain.p2m.leaves()]
      const open: { readonly instant: DomainCheckpoint<X86DomainState>; readonly expected: readonly string[] }[] = []
      for (const each of steps) {
        if (each.kind === 'write') {
          const bytes = new Uint8Array(each.length).fill(each.value)
          if (each.by === 'device') dma.write(each.gpa, bytes)
          else domain.guestMemory.write(each.gpa, bytes)
        } else if (each.kind === 'checkpoint') {
          const expected = await all(domain)
          if (open.length < 3) open.push({ instant: await checkpoint(domain), expected })
        } else if (open.length > 0 && each.kind === 'reset') {
          const { instant, expected } = open[each.which % open.length]!
          await reset(instant)
          expect(await all(domain)).toEqual(expected)
        } else if (open.length > 0) {
          open.splice(each.which % open.length, 1)[0]!.instant.close()
        }
      }
      for (const { instant } of open) instant.close()
      expect([...domain.p2m.leaves()]).toEqual(leaves)
      expect(domain.dirtyLogs.beforeWrites).toBeNull()
    }),
    { numRuns: 12 },
  )
})

test('a guest runs on whose frame cannot be kept, and says so when it is to go back', async () => {
  const { domain } = made(() => undefined).guest
  const instant = await checkpoint(domain)
  const { u8 } = domain.memory
  u8.slice = () => {
    throw new RangeError('no memory')
  }
  expect(await domain.run()).toEqual({ reason: 'pause' })
  expect(await domain.run()).toMatchObject({ reason: 'debug-exit' })
  delete (u8 as Partial<Uint8Array>).slice
  await expect(reset(instant)).rejects.toMatchObject({ code: 'ERR_STATE', message: /no memory/ })
})

test('a guest that has other frames than it had does not go back', async () => {
  const { domain } = made(() => undefined).guest
  const instant = await checkpoint(domain)
  domain.p2m.setType(0x200, 1, P2mType.RAM_RO)
  await expect(reset(instant)).rejects.toMatchObject({ code: 'ERR_STATE' })
})

test('who may still write a frame that was put back is heard of again', async () => {
  const { guest, dma } = made(() => undefined)
  const { domain } = guest
  const before = ram(domain)
  const memory = new BeforeImages(domain)
  // The vCPU keeps its translations, and the model its mapping.
  using mapping = dma.mapForWriting(0x28_0000, 8)
  const put = (): void => {
    for (const { bytes } of mapping.segments) bytes?.fill(0x55)
  }
  put()
  expect(await domain.run()).toEqual({ reason: 'pause' })
  memory.putBack()
  expect(ram(domain)).toEqual(before)
  put()
  expect(await domain.run()).toEqual({ reason: 'debug-exit', code: 0 })
  memory.putBack()
  expect(ram(domain)).toEqual(before)
})
