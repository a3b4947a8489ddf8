// Look-up, insertion and removal of guest frames in leaves of 4 KiB, 2 MiB and 1 GiB, against a plain Map; then how
// little depends on the size of a guest; then what device models make of the map: the bench of @retrap/mapcache.
import { MachineMemory } from '@retrap/memory'
import { P2m, P2mEntry, P2mType } from '@retrap/p2m'
import { type Contender, inTurns } from './in-turns.ts'

const MIB = 2 ** 20
const ORDERS = [
  { order: 0, name: '4 KiB' },
  { order: 9, name: '2 MiB' },
  { order: 18, name: '1 GiB' },
] as const

export async function run(): Promise<void> {
  const memory = MachineMemory.create({ bytes: 2304 * MIB })
  lookups(memory)
  changes(memory)
  sizes()
  // It depends on this package, not this one on it.
  const { run: more } = (await import('../../mapcache/bench/mapcache.bench.ts' as string)) as { run: () => void }
  more()
}

function line(ratio: number, what: string, ns: number, peer: number, peersName: string): void {
  const figures = `${ns.toFixed(1)} ns against ${peer.toFixed(1)} ns`
  console.log(`p2m: ${ratio.toFixed(2)} x ${peersName} (${what}, ${figures})`)
}

/** Random frames of a guest of 1 GiB. */
function lookups(memory: MachineMemory): void {
  const frames = 2 ** 18
  const random = Uint32Array.from({ length: 0x2000 }, (_, i) => Math.imul(i, 0x9e37_79b1) >>> 0)
  // Each contender has functions of its own, so that none of them is slowed by what another did to its types.
  const over = (name: string, where: Float64Array, body: string, what: unknown): Contender => {
    const source = `let sum = 0; for (let i = 0; i < where.length; i++) sum += ${body}; return sum`
    // oxlint-disable-next-line no-implied-eval -- a loop compiled for one contender only
    const loop = new Function('where', 'it', 'entry', source) as (...args: unknown[]) => number
    const entry = new P2mEntry()
    return { name, count: where.length, action: () => loop(where, what, entry) }
  }
  const gpas = Float64Array.from(random, (value) => (value >>> 2) % (frames * 4096))
  const gfns = gpas.map((gpa) => Math.floor(gpa / 4096))
  const contenders: Contender[] = []
  const maps: P2m[] = []
  const plain = new Map<number, number>()
  for (let gfn = 0; gfn < frames; gfn++) plain.set(gfn, 0x2_0001 + gfn)
  contenders.push(over('Map', gfns, 'it.get(where[i])', plain))
  for (const { order, name } of ORDERS) {
    const p2m = P2m.create(memory)
    maps.push(p2m)
    // An odd distance between guest and machine frames leaves no larger leaves.
    const mfn = order === 0 ? 0x2_0001 : order === 9 ? 0x2_0200 : 0x4_0000
    p2m.insertRange(0, mfn, frames, P2mType.RAM_RW)
    contenders.push(over(`translation in ${name}`, gpas, 'it.translate(where[i])', p2m))
    contenders.push(over(`look-up in ${name}`, gfns, 'it.lookup(where[i], entry) + entry.mfn', p2m))
  }
  const best = inTurns(400, contenders)
  const peer = best.get('Map') as number
  for (const { name } of ORDERS) {
    const translate = best.get(`translation in ${name}`) as number
    const lookup = best.get(`look-up in ${name}`) as number
    line(peer / translate, `translation of an address in leaves of ${name}`, translate, peer, 'Map')
    line(peer / lookup, `look-up of a frame, with type, order and rights, in leaves of ${name}`, lookup, peer, 'Map')
  }
  for (const each of maps) each.destroy()
}

/** Insertion and removal of RAM, leaf by leaf. */
function changes(memory: MachineMemory): void {
  for (const { order, name } of ORDERS) {
    const count = order === 0 ? 4096 : order === 9 ? 512 : 1
    const size = 2 ** order
    const base = 2 ** 18
    const p2m = P2m.create(memory)
    const plain = new Map<number, number>()
    const inserted = new Map<number, number>()
    for (let i = 0; i < count; i++) plain.set(base + i * size, base + i * size)
    const best = inTurns(200, [
      {
        name: 'insert',
        count,
        action() {
          for (let i = 0; i < count; i++) p2m.insert(base + i * size, base + i * size, order, P2mType.RAM_RW)
          return count
        },
      },
      {
        name: 'remove',
        count,
        action() {
          for (let i = 0; i < count; i++) p2m.remove(base + i * size, base + i * size, size)
          return count
        },
      },
      {
        name: 'set',
        count,
        action() {
          for (let i = 0; i < count; i++) inserted.set(base + i * size, base + i * size)
          return inserted.size
        },
        undo: () => inserted.clear(),
      },
      {
        name: 'delete',
        count,
        action() {
          for (let i = 0; i < count; i++) plain.delete(base + i * size)
          return count
        },
        undo() {
          for (let i = 0; i < count; i++) plain.set(base + i * size, base + i * size)
        },
      },
    ])
    for (const [ours, peers] of [
      ['insert', 'set'],
      ['remove', 'delete'],
    ] as const) {
      const ns = best.get(ours) as number
      const peer = best.get(peers) as number
      line(peer / ns, `${ours} in leaves of ${name}, one by one, against ${peers}`, ns, peer, 'Map')
    }
    p2m.destroy()
  }
}

/** Translation, insertion and tables as guests grow: none of the times should. */
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
    const tables = p2m.tableBytes
    const gpas = Float64Array.from({ length: 0x1000 }, (_, i) => {
      const random = Math.imul(i, 0x9e37_79b1) >>> 0
      // As many tables in each case, so that it is not the host's caches that are measured.
      return (random % 31) * Math.floor(leaves / 32) * gap * 2 * MIB + (random % (2 * MIB))
    })
    // The last leaf becomes small ones, every other frame swapped with its neighbour and back.
    const last = (leaves - 1) * gap * 512
    let flip = 0
    const translate: Contender = {
      name: `translation ${name}`,
      count: gpas.length,
      action() {
        let sum = 0
        for (let i = 0; i < gpas.length; i++) sum += p2m.translate(gpas[i] as number)
        return sum
      },
    }
    const insert: Contender = {
      name: `insertion ${name}`,
      count: 512,
      action() {
        flip ^= 1
        for (let i = 0; i < 512; i++) p2m.insert(last + i, 0x400 + (i ^ flip), 0, P2mType.RAM_RW)
        return 1
      },
    }
    return { name, tables, translate, insert, p2m }
  })
  const best = inTurns(400, [...guests.map(({ translate }) => translate), ...guests.map(({ insert }) => insert)])
  const [small] = guests
  for (const { name, tables } of guests) {
    if (small === undefined || name === small.name) continue
    for (const what of ['translation', 'insertion']) {
      const ns = best.get(`${what} ${name}`) as number
      const peer = best.get(`${what} ${small.name}`) as number
      line(peer / ns, `${what} in a guest of ${name}`, ns, peer, `the speed in 64 MiB`)
    }
    if (name === '3 GiB') {
      const share = (32 * 1024) / tables
      console.log(`p2m: ${share.toFixed(2)} x 32 KiB (tables of a guest of ${name}, ${tables / 1024} KiB)`)
    }
  }
  for (const { p2m } of guests) p2m.destroy()
}
