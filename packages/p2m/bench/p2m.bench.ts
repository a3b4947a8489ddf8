// Translation of random guest-physical addresses of a 1 GiB guest, in 4 KiB and in 2 MiB leaves, against a Map.
import { MachineMemory } from '@retrap/memory'
import { P2m, P2mEntry, P2mType } from '@retrap/p2m'

const FRAMES = 0x4_0000

/** The best of many short rounds, each shorter than a time slice of the host's scheduler: other load does not count. */
function nanoseconds(count: number, once: () => number): number {
  let best = Infinity
  for (let round = 0; round < 1000; round++) {
    const start = performance.now()
    if (once() === 0) throw new Error('nothing was translated')
    best = Math.min(best, ((performance.now() - start) * 1e6) / count)
  }
  return best
}

export function run(): void {
  const memory = MachineMemory.create({ bytes: 2200 * 2 ** 20 })
  const plain = new Map<number, number>()
  const small = P2m.create(memory)
  const large = P2m.create(memory)
  // An odd offset between guest and machine frames leaves 4 KiB leaves only.
  small.insertRange(0, 0x2_0001, FRAMES, P2mType.RAM_RW)
  large.insertRange(0, 0x2_0000, FRAMES, P2mType.RAM_RW)
  for (let gfn = 0; gfn < FRAMES; gfn++) plain.set(gfn, 0x2_0001 + gfn)
  const gpas = Float64Array.from({ length: 0x2000 }, (_, i) => (Math.imul(i, 0x9e37_79b1) >>> 2) % (FRAMES * 4096))
  const entry = new P2mEntry()

  const each = (action: (gpa: number) => number): number =>
    nanoseconds(gpas.length, () => {
      let sum = 0
      for (let i = 0; i < gpas.length; i++) sum += action(gpas[i] as number)
      return sum
    })
  const map = each((gpa) => (plain.get(Math.floor(gpa / 4096)) as number) * 4096 + (gpa % 4096))
  const inSmall = each((gpa) => small.translate(gpa))
  const inLarge = each((gpa) => large.translate(gpa))
  const lookup = each((gpa) => small.lookup(Math.floor(gpa / 4096), entry) + 1)
  const line = (name: string, ns: number, what: string): void =>
    console.log(`${name}: ${(map / ns).toFixed(1)} x Map (${what}, ${ns.toFixed(1)} ns against ${map.toFixed(1)} ns)`)
  line('p2m', inSmall, 'translation of 1 GiB in 4 KiB leaves')
  line('p2m', inLarge, 'translation of 1 GiB in 2 MiB leaves')
  line('p2m', lookup, 'lookup with type and rights in 4 KiB leaves')
}
