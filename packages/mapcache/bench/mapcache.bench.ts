// Holding guest memory that the cache knows against a plain bounds-checked subarray, and invalidation with 1,000
// mappings held.
import { guestMapOf, MapCache } from '@retrap/mapcache'
import { MachineMemory } from '@retrap/memory'
import { FrameCounts, P2m, P2mType } from '@retrap/p2m'

const MIB = 2 ** 20
const RAM = 64 * MIB
const GUEST = 0x1000_0000

/** The best of many short rounds of both, in turns: other load on the machine falls on both or does not count. */
function compare(rounds: number, count: number, one: () => number, two: () => number): [one: number, two: number] {
  const best: [number, number] = [Infinity, Infinity]
  for (let round = 0; round < rounds; round++) {
    for (const [i, action] of [one, two].entries()) {
      const start = performance.now()
      if (action() === 0) throw new Error('nothing was mapped')
      best[i] = Math.min(best[i] as number, ((performance.now() - start) * 1e6) / count)
    }
  }
  return best
}

export function run(): void {
  const memory = MachineMemory.create({ bytes: 160 * MIB })
  const counts = FrameCounts.create(memory)
  const p2m = P2m.create(memory)
  p2m.populate(GUEST / 4096, RAM / 4096, P2mType.RAM_RW)
  for (const { mfn, order } of p2m.leaves()) counts.adopt(mfn, 2 ** order)
  const cache = new MapCache({ memory, map: guestMapOf(p2m), references: counts })
  const base = memory.u8
  const offsets = Float64Array.from({ length: 0x1000 }, (_, i) => (Math.imul(i, 0x9e37_79b1) >>> 0) % (RAM - 2 * MIB))
  const inOneLeaf = offsets.map((offset) => Math.floor(offset / (2 * MIB)) * 2 * MIB + ((offset * 7) % (MIB / 2)))
  const inOneBucket = offsets.map((offset) => offset % (MIB / 2))

  const plain = (offset: number, length: number): Uint8Array => {
    if (!(offset >= 0 && length >= 0 && offset + length <= RAM)) throw new RangeError('outside RAM')
    return base.subarray(GUEST / 4 + offset, GUEST / 4 + offset + length)
  }
  const hit = (where: Float64Array, length: number, what: string): void => {
    const [cached, peer] = compare(
      300,
      where.length,
      () => {
        let sum = 0
        for (let i = 0; i < where.length; i++) {
          const mapping = cache.map(GUEST + (where[i] as number), length)
          sum += mapping.bytes.length
          mapping.release()
        }
        return sum
      },
      () => {
        let sum = 0
        for (let i = 0; i < where.length; i++) sum += plain(where[i] as number, length).length
        return sum
      },
    )
    console.log(
      `mapcache: ${(cached / peer).toFixed(2)} x subarray's time (${what}, ${cached.toFixed(0)} ns against ${peer.toFixed(0)} ns)`,
    )
  }
  hit(inOneBucket, 512, 'hit of 512 bytes in the bucket used last')
  hit(inOneLeaf, 512, 'hit of 512 bytes anywhere in 64 MiB')
  hit(inOneLeaf, 4096, 'hit of 4 KiB anywhere')
  hit(inOneLeaf, 65536, 'hit of 64 KiB anywhere')

  const into = new Uint8Array(512)
  const [copied, peer] = compare(
    300,
    offsets.length,
    () => {
      let sum = 0
      for (let i = 0; i < offsets.length; i++) sum += cache.readSome(GUEST + (offsets[i] as number), into)
      return sum
    },
    () => {
      for (let i = 0; i < offsets.length; i++) into.set(plain(offsets[i] as number, 512))
      return 1
    },
  )
  console.log(
    `mapcache: ${(copied / peer).toFixed(2)} x subarray's time (512 bytes copied out, ${copied.toFixed(0)} ns against ${peer.toFixed(0)} ns)`,
  )

  for (let i = 0; i < 1000; i++) cache.map(GUEST + MIB + i * 8192, 4096)
  let gfn = GUEST / 4096
  const [page, all] = compare(
    200,
    1,
    () => cache.invalidate(gfn++, 1).pending + 1,
    () => cache.invalidate().pending,
  )
  console.log(
    `mapcache: ${(all / page).toFixed(1)} x one page's time (all invalidated with 1,000 mappings held, ${(all / 1000).toFixed(1)} us against ${(page / 1000).toFixed(1)} us for a page that none covers)`,
  )
}
