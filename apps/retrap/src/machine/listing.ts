/** A machine's map of guest frames as text. */
import { PAGE_BYTES } from '@retrap/memory'
import {
  ArmP2mType,
  INVALID_MFN,
  P2M_EXECUTE,
  P2M_READ,
  P2M_WRITE,
  P2mType,
  type P2m,
  type P2mLeaf,
  type P2mStatistics,
} from '@retrap/p2m'
import type { ListedMap } from '@retrap/linux-guest/machine/machine-contract'

const namesOf = (types: Readonly<Record<string, number>>): ReadonlyMap<number, string> =>
  new Map(Object.entries(types).map(([name, type]) => [type, name.toLowerCase()]))
const TYPE_NAMES: Readonly<Record<P2m['format'], ReadonlyMap<number, string>>> = {
  ept: namesOf(P2mType),
  lpae: namesOf(ArmP2mType),
}

const ORDERS = [
  { order: 18, name: '1G' },
  { order: 9, name: '2M' },
  { order: 0, name: '4K' },
] as const

/** Number of leaves of each order. */
type LeafCounts = Map<number, number>

interface Run {
  readonly gfn: number
  readonly mfn: number
  readonly type: number
  readonly rights: number
  frames: number
  /** Whether all frames map to one machine frame, like the filler of a ROM's area. */
  oneFrame: boolean
  readonly leaves: LeafCounts
}

/**
 * Lists runs of frames, then the totals.
 *
 * @param range - guest frames; leaves that begin or end outside are shown whole
 * @param each - a line for every leaf
 */
export function* listMap(
  map: ListedMap,
  range: { readonly first: number; readonly end: number },
  each: boolean,
): Generator<string, void> {
  yield `${'guest-physical'.padEnd(27)}  ${'machine'.padEnd(10)}  ${'size'.padStart(9)}  ${'type'.padEnd(14)}  rwx  leaves`
  const frames = new Map<number, number>()
  const leaves: LeafCounts = new Map()
  let runs = 0
  for (const run of runsOf(map.leaves(range.first, range.end), each)) {
    yield lineOf(run, map.format)
    runs++
    frames.set(run.type, (frames.get(run.type) ?? 0) + run.frames)
    for (const [order, count] of run.leaves) leaves.set(order, (leaves.get(order) ?? 0) + count)
  }
  if (runs === 0) yield 'nothing is mapped: there are only holes'
  const types = [...frames].map(([type, count]) => `${nameOf(type, map.format)} ${sizeOf(count)}`)
  if (runs > 0) yield `in all: ${types.join(', ')}; leaves: ${describeLeaves(leaves)}`
  yield `tables: ${map.tableBytes / 1024} KiB, the top one at MA ${hex(map.root)}`
}

/** Describes a map in a line. */
export function describeMap({ format, leaves, frames, tableBytes }: P2mStatistics): string {
  const types = Object.entries(frames).map(([type, count]) => `${nameOf(Number(type), format)} ${sizeOf(count)}`)
  const counts = new Map(ORDERS.flatMap(({ order, name }) => (leaves[name] > 0 ? [[order, leaves[name]]] : [])))
  return [types.join(', '), `leaves: ${describeLeaves(counts)}`, `tables: ${tableBytes / 1024} KiB`].join('; ')
}

function* runsOf(leaves: Iterable<P2mLeaf>, each: boolean): Generator<Run, void> {
  let run: Run | undefined
  for (const leaf of leaves) {
    if (run === undefined || each || !goesOn(run, leaf)) {
      if (run !== undefined) yield run
      const { gfn, mfn, type, rights } = leaf
      run = { gfn, mfn, type, rights, frames: 0, oneFrame: false, leaves: new Map() }
    } else if (leaf.mfn === run.mfn && leaf.mfn !== INVALID_MFN) run.oneFrame = true
    run.frames += 2 ** leaf.order
    run.leaves.set(leaf.order, (run.leaves.get(leaf.order) ?? 0) + 1)
  }
  if (run !== undefined) yield run
}

function goesOn(run: Run, { gfn, mfn, type, rights, order }: P2mLeaf): boolean {
  if (run.type !== type || run.rights !== rights || run.gfn + run.frames !== gfn) return false
  if (mfn === INVALID_MFN || run.mfn === INVALID_MFN) return mfn === run.mfn
  if (mfn === run.mfn && order === 0) return run.oneFrame || run.frames === 1
  return !run.oneFrame && mfn === run.mfn + run.frames
}

function lineOf({ gfn, mfn, type, rights, frames, oneFrame, leaves }: Run, format: P2m['format']): string {
  const where = `${hex(gfn * PAGE_BYTES)}-${hex((gfn + frames) * PAGE_BYTES - 1)}`
  const machine = mfn === INVALID_MFN ? '-' : hex(mfn * PAGE_BYTES)
  const letters = [
    (rights & P2M_READ) === 0 ? '-' : 'r',
    (rights & P2M_WRITE) === 0 ? '-' : 'w',
    (rights & P2M_EXECUTE) === 0 ? '-' : 'x',
  ].join('')
  const name = nameOf(type, format).padEnd(14)
  const columns = [where.padEnd(27), machine.padEnd(10), sizeOf(frames).padStart(9), name, letters]
  return `${columns.join('  ')}  ${describeLeaves(leaves)}${oneFrame ? ', one frame' : ''}`
}

function describeLeaves(leaves: LeafCounts): string {
  return ORDERS.flatMap(({ order, name }) => (leaves.has(order) ? [`${leaves.get(order)} of ${name}`] : [])).join(', ')
}

function nameOf(type: number, format: P2m['format']): string {
  return TYPE_NAMES[format].get(type) ?? `type ${type}`
}

function sizeOf(frames: number): string {
  if (frames % 2 ** 18 === 0) return `${frames / 2 ** 18} GiB`
  if (frames < 2 ** 8) return `${frames * 4} KiB`
  return `${Number((frames / 2 ** 8).toFixed(2))} MiB`
}

function hex(address: number): string {
  return `0x${address.toString(16).padStart(8, '0')}`
}
