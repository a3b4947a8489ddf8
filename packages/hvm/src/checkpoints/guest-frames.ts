import { isZero, WORDS } from '../memory/frame-contents.ts'
import { PAGE_BYTES } from '@retrap/memory'
import type { P2mLeaf } from '@retrap/p2m'
import type { Domain } from '../domain.ts'
import { HvmError } from '../errors.ts'
import type { GuestFrames } from '../kept-by-hypervisor.ts'

export type { GuestFrames } from '../kept-by-hypervisor.ts'

/** The end of RAM below 1 MiB, of which devices and patchers keep machine addresses: its writes have no log. */
export const FIRST_LOGGED_GFN = 0x100

/** Consecutive guest frames, with a bit for each: bit `i % 32` of word `i / 32` is frame `gfn + i`. */
export interface FrameBits {
  /** The first. */
  readonly gfn: number
  /** How many. */
  readonly count: number
  /** Bits of all. */
  readonly bits: Uint32Array
}

/** A set of guest frames, including those of unknown state. */
export class FrameSet {
  readonly #known: readonly FrameBits[]

  constructor(known: readonly FrameBits[]) {
    this.#known = known
  }

  /** Whether the set contains a guest frame. */
  has(frame: number): boolean {
    return this.any(frame, 1)
  }

  /** Whether one of consecutive guest frames is. */
  any(first: number, frames: number): boolean {
    let known = 0
    for (let at = 0; at < this.#known.length; at++) {
      const { gfn, count, bits } = this.#known[at]!
      const end = Math.min(first + frames, gfn + count) - gfn
      const from = Math.max(first, gfn) - gfn
      if (from >= end) continue
      known += end - from
      for (let bit = from; bit < end; bit++) {
        const word = bits[bit >>> 5]!
        if (word === 0) bit |= 31
        else if (((word >>> (bit & 31)) & 1) !== 0) return true
      }
    }
    return known < frames
  }
}

/** The frames of a leaf. */
export interface MachineRun extends GuestFrames {
  readonly mfn: number
  /** Order of the leaf, which has `2 ** order` frames. */
  readonly order: number
  /** One of `P2mAccess`. */
  readonly access: number
  /** Whether other guests may share the frames, which are then never written. */
  readonly isShared: boolean
}

/**
 * Returns the frames of a guest's RAM and ROM, without memories owned by device models and the hypervisor.
 *
 * @throws HvmError `ERR_STATE` for memory that is neither: paged out, to be populated on demand, or another guest's
 */
export function guestFrames(domain: Domain): readonly GuestFrames[] {
  const { version } = domain.p2m
  const before = latest.get(domain)
  if (before?.version === version) return before.frames
  const frames: GuestFrames[] = []
  for (const { gfn, count, kind } of machineRuns(domain, true)) addFrames(frames, gfn, count, kind)
  latest.set(domain, { version, frames })
  return frames
}

/** Cache of a domain's frames, by version of its map. */
const latest = new WeakMap<Domain, { readonly version: number; readonly frames: readonly GuestFrames[] }>()

/** Appends frames above all frames of a list. */
export function addFrames(list: GuestFrames[], gfn: number, count: number, kind: GuestFrames['kind']): void {
  const last = list.at(-1)
  const follows = last !== undefined && last.kind === kind && last.gfn + last.count === gfn
  if (follows) list[list.length - 1] = { gfn: last.gfn, count: last.count + count, kind }
  else list.push({ gfn, count, kind })
}

/**
 * Checks that a guest has the frames that contents belong to.
 *
 * @param frames - frames that the contents belong to
 * @throws HvmError `ERR_STATE` if the guest has other frames, or contents belong to no frame
 */
export function checkGuestFrames(domain: Domain, frames: readonly GuestFrames[], gfns: Uint32Array): void {
  const here = guestFrames(domain)
  requireSameFrames(here, frames)
  let at = 0
  for (const { gfn, count } of here) {
    while (at < gfns.length && gfns[at]! >= gfn && gfns[at]! < gfn + count && (at === 0 || gfns[at]! > gfns[at - 1]!))
      at++
  }
  if (at < gfns.length)
    throw new HvmError(
      'ERR_STATE',
      `saved contents of guest frame ${gfns[at]}, which is out of order or not the guest's`,
    )
}

/** @throws HvmError `ERR_STATE` if a guest's frames differ from the expected ones */
export function requireSameFrames(here: readonly GuestFrames[], frames: readonly GuestFrames[]): void {
  const isAsSaved = (run: GuestFrames, i: number): boolean => {
    const saved = frames[i]
    return saved?.gfn === run.gfn && saved.count === run.count && saved.kind === run.kind
  }
  if (here.length !== frames.length || !here.every(isAsSaved))
    throw new HvmError('ERR_STATE', differenceOf(here, frames))
}

/**
 * Zeroes frames without contents. Frames that are already zero are not written, so that the host allocates no memory
 * for untouched pages.
 *
 * @param gfns - guest frames with contents, from low to high
 * @param at - index of the first frame that may need zeroing
 * @param gfn - the guest frame of the first
 */
export function clearFrames(
  { memory, hasExecuted }: Domain,
  mfn: number,
  count: number,
  gfns: Uint32Array,
  at: number,
  gfn: number,
): void {
  for (let i = 0; i < count; i++) {
    if (gfns[at] === gfn + i) {
      at++
      continue
    }
    // Before a vCPU has executed, all writes are counted.
    if (!hasExecuted && memory.generation[mfn + i] === 0) continue
    if (!isZero(memory.u32, (mfn + i) * WORDS)) memory.fill((mfn + i) * PAGE_BYTES, PAGE_BYTES, 0)
  }
}

/**
 * Leaf by leaf, in order of guest frames.
 *
 * @param byTable - shared frames may come by the table, without a machine frame: see `P2m.leaves`
 * @param from - the first guest frame; the leaf that contains it is returned whole
 * @param to - behind the last
 */
export function* machineRuns(
  domain: Domain,
  byTable: boolean = false,
  from: number = 0,
  to?: number,
): Generator<MachineRun, void, undefined> {
  const { p2m, ownedMemories, kept } = domain
  for (const leaf of p2m.leaves(from, to, byTable)) {
    const kind = kindOf(domain, leaf)
    if (kind === null || ownedMemories.owns(leaf.mfn) || kept?.owns(leaf.mfn) === true) continue
    const { gfn, mfn, order, access, type } = leaf
    yield { gfn, mfn, order, access, count: 2 ** order, kind, isShared: type === p2m.types.shared }
  }
}

/** Returns the kind of a leaf for the guest; null for a hole, and for a grant that the hypervisor keeps. */
function kindOf({ p2m, kept }: Domain, { type, gfn }: P2mLeaf): 'ram' | 'rom' | null {
  const { types } = p2m
  if (type === types.ram || type === types.logged || type === types.shared) return 'ram'
  if (type === types.rom) return 'rom'
  if (type === types.hole || type === types.nothing) return null
  if (kept !== undefined && (type === types.granted || type === types.grantedReadOnly)) return null
  const what = `guest frame 0x${gfn.toString(16)} is of type ${type}`
  throw new HvmError('ERR_STATE', `${what}: only RAM, ROM and memory of device models can be saved`)
}

function differenceOf(here: readonly GuestFrames[], saved: readonly GuestFrames[]): string {
  const at = here.findIndex((run, i) => JSON.stringify(run) !== JSON.stringify(saved[i]))
  const text = (run: GuestFrames | undefined): string =>
    run === undefined ? 'none' : `${run.count} of ${run.kind} from 0x${run.gfn.toString(16)}`
  const index = at < 0 ? here.length : at
  return `the saved guest has other memory: frames ${text(saved[index])}, expected ${text(here[index])}`
}
