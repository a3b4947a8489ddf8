// Holding guest memory that the cache knows against a plain bounds-checked subarray, invalidation with 1,000 mappings
// held, and how little depends on the size of a guest.
import { guestMapOf, MapCache } from '@retrap/mapcache'
import { MachineMemory } from '@retrap/memory'
import { FrameCounts, P2m, P2mType } from '@retrap/p2m'

const MIB = 2 ** 20
const RAM = 64 * MIB
const GUEST = 0x1000_0000

type Action = () => number

/** Best nanoseconds of many short rounds of all, in turns: other load on the machine falls on all or does not count. */
function inTurns<const A extends readonly Action[]>(
  rounds: number,
  count: number,
  actions: A,
): { [K in keyof A]: number } {
  const best = actions.map(() => Infinity)
  for (let round = 0; round < rounds; round++) {
    for (const [i, action] of actions.entries()) {
      const start = performance.now()
      if (action() === 0) throw new Error('nothing was mapped')
      best[i] = Math.min(best[i] as number, ((performance.now() - start) * 1e6) / count)
    }
  }
  return best as { [K in keyof A]: number }
}

/** A loop compiled for this action alone, whatever others have done to the engine's idea of its types. */
function loop(where: Float64Array, action: (gpa: number) => number): Action {
  const source = 'let sum = 0; for (let i = 0; i < where.length; i++) sum += action(where[i]); return sum'
  // oxlint-disable-next-line no-implied-eval -- see above
  const compiled = new Function('where', 'action', source) as (where: Float64Array, each: typeof action) => number
  return () => compiled(where, action)
}

function line(ratio: number, peer: string, what: string, figures: string): void {
  console.log(`mapcache: ${ratio.toFixed(2)} x ${peer} (${what}, ${figures})`)
}

const against = (ns: number, peer: number): string => `${ns.toFixed(0)} ns against ${peer.toFixed(0)} ns`

export function run(): void {
  hits()
  invalidation()
  sizes()
}

function guestOf(memory: MachineMemory): MapCache {
  const counts = FrameCounts.create(memory)
  const p2m = P2m.create(memory)
  p2m.populate(GUEST / 4096, RAM / 4096, P2mType.RAM_RW)
  for (const { mfn, order } of p2m.leaves()) counts.adopt(mfn, 2 ** order)
  return new MapCache({ memory, map: guestMapOf(p2m), references: counts })
}

function hits(): void {
  const memory = MachineMemory.create({ bytes: 160 * MIB })
  const cache = guestOf(memory)
  const random = Float64Array.from({ length: 0x1000 }, (_, i) => (Math.imul(i, 0x9e37_79b1) >>> 0) % (RAM - 2 * MIB))
  const anywhere = random.map((gpa) => GUEST + Math.floor(gpa / (2 * MIB)) * 2 * MIB + ((gpa * 7) % (MIB / 2)))
  const inOneBucket = random.map((gpa) => GUEST + (gpa % (MIB / 2)))
  const ram = memory.u8
  const plain = (gpa: number, length: number): Uint8Array => {
    if (!(gpa >= GUEST && length >= 0 && gpa + length <= GUEST + RAM)) throw new RangeError('outside RAM')
    return ram.subarray(gpa - GUEST + RAM, gpa - GUEST + RAM + length)
  }
  for (const { where, length, what } of [
    { where: inOneBucket, length: 512, what: 'a hit of 512 bytes in the bucket used last' },
    { where: anywhere, length: 512, what: 'a hit of 512 bytes anywhere in 64 MiB' },
    { where: anywhere, length: 4096, what: 'a hit of 4 KiB anywhere' },
    { where: anywhere, length: 65_536, what: 'a hit of 64 KiB anywhere' },
  ]) {
    const hold = (gpa: number): number => {
      const mapping = cache.map(gpa, length)
      const bytes = mapping.bytes.length
      mapping.release()
      return bytes
    }
    const holdWritable = (gpa: number): number => {
      const mapping = cache.mapForWriting(gpa, length)
      const bytes = mapping.bytes.length
      mapping.release()
      return bytes
    }
    const [peer, held, during, written] = inTurns(300, where.length, [
      loop(where, (gpa) => plain(gpa, length).length),
      loop(where, hold),
      loop(where, (gpa) => cache.with(gpa, length, (mapping) => mapping.bytes.length)),
      loop(where, holdWritable),
    ])
    line(peer / held, 'subarray', `${what}, held until its release`, against(held, peer))
    if (length !== 512) continue
    line(peer / during, 'subarray', `${what}, held during a call`, against(during, peer))
    line(peer / written, 'subarray', `${what}, held for writing`, against(written, peer))
  }

  const into = new Uint8Array(512)
  const [copied, peer] = inTurns(300, anywhere.length, [
    loop(anywhere, (gpa) => cache.readSome(gpa, into)),
    loop(anywhere, (gpa) => {
      into.set(plain(gpa, 512))
      return 1
    }),
  ])
  line(peer / copied, 'subarray', '512 bytes copied out', against(copied, peer))
}

function invalidation(): void {
  const cache = guestOf(MachineMemory.create({ bytes: 160 * MIB }))
  for (let i = 0; i < 1000; i++) cache.map(GUEST + MIB + i * 8192, 4096)
  // What was held before stays so: pages are looked up, and mappings told, anew each time.
  const [none, one, all] = inTurns(200, 1, [
    () => cache.invalidate(GUEST / 4096, 1).pending + 1,
    () => cache.invalidate((GUEST + MIB) / 4096, 1).pending,
    () => cache.invalidate().pending,
  ])
  const us = (ns: number): string => `${(ns / 1000).toFixed(1)} us`
  const held = 'with 1,000 mappings held'
  line(none / all, 'a page that none covers', `all invalidated ${held}`, `${us(all)} against ${us(none)}`)
  line(none / one, 'a page that none covers', `one page invalidated ${held}`, us(one))
}

/** A hit, a miss and an invalidation as guests grow: none of the times should. */
function sizes(): void {
  const memory = MachineMemory.create({ bytes: 3300 * MIB })
  const guests = [
    { name: '64 MiB', mib: 64, gap: 1 },
    { name: '512 MiB', mib: 512, gap: 1 },
    { name: '3 GiB', mib: 3072, gap: 1 },
    { name: '1 TiB, sparse', mib: 1024, gap: 1024 },
  ].map(({ name, mib, gap }) => {
    const p2m = P2m.create(memory)
    const leaves = mib / 2
    // They share machine frames, which none of them touches.
    if (gap === 1) p2m.insertRange(0, 0x200, leaves * 512, P2mType.RAM_RW)
    else for (let i = 0; i < leaves; i++) p2m.insert(i * gap * 512, 0x200 + i * 512, 9, P2mType.RAM_RW)
    const cache = new MapCache({ memory, map: guestMapOf(p2m) })
    // As many buckets in each case.
    const where = Float64Array.from({ length: 0x1000 }, (_, i) => {
      const random = Math.imul(i, 0x9e37_79b1) >>> 0
      return (random % 31) * Math.floor(leaves / 32) * gap * 2 * MIB + (random % (MIB / 2))
    })
    return { name, cache, where }
  })
  const hit = inTurns(
    300,
    0x1000,
    guests.map(({ cache, where }) =>
      loop(where, (gpa) => {
        const mapping = cache.map(gpa, 512)
        mapping.release()
        return mapping.length
      }),
    ),
  )
  const miss = inTurns(
    300,
    31,
    guests.map(({ cache, where }) => () => {
      cache.invalidate()
      for (let i = 0; i < 31; i++) cache.map(where[i] as number, 512).release()
      return 1
    }),
  )
  for (const [i, { name }] of guests.entries()) {
    if (i === 0) continue
    for (const [what, times] of [
      ['a hit', hit],
      ['a miss and its invalidation', miss],
    ] as const) {
      const [ns, peer] = [times[i] as number, times[0] as number]
      line(peer / ns, 'the speed in 64 MiB', `${what} in a guest of ${name}`, against(ns, peer))
    }
  }
}
