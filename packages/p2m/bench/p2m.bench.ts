// Translation of random guest-physical addresses of a 1 GiB guest, insertion and removal, against a Map; and the same
// in small, large and sparse guests.
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
  changes()
}

/** Nanoseconds for each of `count` things, in the best of 100 rounds; what prepares a round is not counted. */
function best(count: number, action: () => void, undo: () => void = () => undefined): number {
  let least = Infinity
  for (let round = 0; round < 100; round++) {
    const start = performance.now()
    action()
    least = Math.min(least, ((performance.now() - start) * 1e6) / count)
    undo()
  }
  return least
}

/** Insertion and removal of RAM, leaf by leaf, and what tables cost. */
function changes(): void {
  const memory = MachineMemory.create({ bytes: 2304 * 2 ** 20 })
  const plain = new Map<number, number>()
  for (const { order, count, name } of [
    { order: 0, count: 4096, name: '4 KiB' },
    { order: 9, count: 512, name: '2 MiB' },
    { order: 18, count: 1, name: '1 GiB' },
  ]) {
    const p2m = P2m.create(memory)
    const size = 2 ** order
    const base = 0x4_0000
    const insert = best(
      count,
      () => {
        for (let i = 0; i < count; i++) p2m.insert(base + i * size, base + i * size, order, P2mType.RAM_RW)
      },
      () => p2m.remove(base, base, count * size),
    )
    for (let i = 0; i < count; i++) p2m.insert(base + i * size, base + i * size, order, P2mType.RAM_RW)
    const remove = best(
      count,
      () => {
        for (let i = 0; i < count; i++) p2m.remove(base + i * size, base + i * size, size)
      },
      () => p2m.insertRange(base, base, count * size, P2mType.RAM_RW),
    )
    const set = best(
      count,
      () => {
        for (let i = 0; i < count; i++) plain.set(base + i * size, base + i * size)
      },
      () => plain.clear(),
    )
    const line = (what: string, ns: number): void =>
      console.log(
        `p2m: ${(set / ns).toFixed(2)} x Map (${what} of ${name}, ${ns.toFixed(0)} ns against ${set.toFixed(0)} ns for set)`,
      )
    line('insertion', insert)
    line('removal', remove)
    p2m.destroy()
  }
  costs(memory)
}

/** Translation, insertion and tables as guests grow: none of them should. */
function costs(memory: MachineMemory): void {
  const results: { name: string; translate: number; insert: number; tables: number }[] = []
  for (const { name, mib, gap } of [
    { name: '64 MiB', mib: 64, gap: 1 },
    { name: '2 GiB', mib: 2048, gap: 1 },
    { name: '1 TiB sparse', mib: 1024, gap: 1024 },
  ]) {
    const p2m = P2m.create(memory)
    // The last 2 MiB are left for what is inserted.
    const leaves = mib / 2 - 1
    for (let i = 0; i < leaves; i++) p2m.insert(i * gap * 512, 0x400 + i * 512, 9, P2mType.RAM_RW)
    const gpas = Float64Array.from({ length: 0x1000 }, (_, i) => {
      const random = Math.imul(i, 0x9e37_79b1) >>> 0
      // As many pages in each case, so that it is not the host's caches that are measured.
      return (random % Math.min(leaves, 31)) * gap * 0x20_0000 + (random % 0x20_0000)
    })
    const spare = leaves * gap * 512
    const translate = best(gpas.length, () => {
      let sum = 0
      for (let i = 0; i < gpas.length; i++) sum += p2m.translate(gpas[i] as number)
      if (sum === 0) throw new Error('nothing was translated')
    })
    const tables = p2m.tableBytes
    // Every other frame swapped with its neighbour, so that each insertion changes something.
    let flip = 0
    const insert = best(512, () => {
      flip ^= 1
      for (let i = 0; i < 512; i++) p2m.insert(spare + i, 0x400 + (i ^ flip), 0, P2mType.RAM_RW)
    })
    results.push({ name, translate, insert, tables })
    p2m.destroy()
  }
  const [small] = results
  for (const { name, translate, insert, tables } of results.slice(1)) {
    if (small === undefined) break
    console.log(
      `p2m: ${(small.translate / translate).toFixed(2)} x 64 MiB (translation in a guest of ${name}, ${translate.toFixed(1)} ns; insertion ${(small.insert / insert).toFixed(2)} x, ${insert.toFixed(0)} ns; tables ${tables / 1024} KiB)`,
    )
  }
}
