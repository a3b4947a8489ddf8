import { type FrameSet, guestFrames, isSame, isZero } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import type { GatedMachine } from '../machine/machine-gate.ts'
import type { MachineKind } from '../machine/board.ts'
import { isAtRest } from '../snapshot/snapshot-rules.ts'
import { saveInstant } from './checkpoints.ts'
import type { ReplayGate } from './replay-gate.ts'
import type { StartingPoint } from './saved-checkpoints.ts'

/** Bytes of frames that all points may have together. */
const MOST_BYTES = 64 * 2 ** 20
const MOST_POINTS = 16

/** Frames whose write log is tested together. */
const BLOCK = 512
/** The contents of a frame of zeros, which takes no memory. */
const NOTHING = new Uint8Array(PAGE_BYTES)

/** A frame of RAM written since a checkpoint. */
interface Frame {
  readonly bytes: Uint8Array
  /** Number of the contents; negative, because checkpoints number the contents of their pages from 0 on. */
  readonly identity: number
}

type Frames = ReadonlyMap<number, Frame>

/** A replay's machine. */
interface Near {
  readonly gated: GatedMachine<MachineKind>
  readonly gate: ReplayGate
}

/** A place near which a replay is: a checkpoint, and the frames written since. */
interface NearPoint extends StartingPoint {
  readonly base: StartingPoint
  readonly frames: Frames
}

/**
 * Places that a replay has passed shortly before its destinations, so that the next step back is short. Each place holds the RAM
 * frames written since the checkpoint from which the replay has come. The oldest places are dropped.
 */
export class NearPoints {
  #points: NearPoint[] = []
  #from: StartingPoint | undefined
  /** Frames written between the checkpoint and the last point. */
  #frames: Frames = new Map()
  #identity = 0

  /** The replay starts at a checkpoint or near point, from which later points count written frames; undefined: at power-on. */
  begin(from: StartingPoint | undefined): void {
    this.#from = from
    this.#frames = isPoint(from) ? from.frames : new Map()
  }

  /** Returns the last point after `after` and not after `instruction`. */
  nearest(instruction: number, after: number): StartingPoint | undefined {
    let found: NearPoint | undefined
    for (const point of this.#points)
      if (point.instructions <= instruction && point.instructions > (found?.instructions ?? after)) found = point
    // Copied, as the machine tracks its writes against the object that it was restored to last.
    return found && { ...found, pages: { ...found.pages } }
  }

  /** Keeps the present place, if that is possible. */
  async take({ gated, gate }: Near): Promise<void> {
    const from = this.#from
    const { instructions } = gated.domain
    if (from === undefined || this.#points.some((point) => point.instructions === instructions)) return
    const written = (await gated.snapshots()).writtenSince(from.pages)
    if (written === undefined || !isAtRest(gated.domain)) return
    const base = isPoint(from) ? from.base : from
    try {
      await saveInstant(gated, gate, (state, position) => {
        const frames = this.#framesOf(gated, written)
        this.#points.push({ ...state, instructions, position, base, frames, pages: pagesOver(base.pages, frames) })
        this.#frames = frames
      })
    } catch {
      // A device is busy, or cannot be saved: the way is longer.
      return
    }
    while (this.#points.length > MOST_POINTS || this.#bytes() > MOST_BYTES) this.#points.shift()
  }

  /** Returns the frames written since the checkpoint. Frames unchanged since the last point are the same objects. */
  #framesOf({ domain }: Near['gated'], written: FrameSet): Frames {
    const frames = new Map(this.#frames)
    const { u8, u32 } = domain.memory
    for (const { gfn, count } of guestFrames(domain))
      for (let at = gfn; at < gfn + count; at++) {
        if (at % BLOCK === 0 && at + BLOCK <= gfn + count && !written.any(at, BLOCK)) at += BLOCK - 1
        else if (written.has(at)) {
          const ma = domain.p2m.translate(at * PAGE_BYTES)
          const isNothing = ma < 0 || isZero(u32, ma >>> 2)
          const former = frames.get(at)?.bytes
          if (former === undefined || !(isNothing ? former === NOTHING : isSame(u32, ma >>> 2, former)))
            frames.set(at, { bytes: isNothing ? NOTHING : u8.slice(ma, ma + PAGE_BYTES), identity: --this.#identity })
        }
      }
    return frames
  }

  /** Bytes of all frames, of which points share some. */
  #bytes(): number {
    const all = new Set<Frame>()
    for (const { frames } of this.#points)
      for (const frame of frames.values()) if (frame.bytes !== NOTHING) all.add(frame)
    return all.size * PAGE_BYTES
  }

  /** Forgets all points. */
  clear(): void {
    this.#points = []
  }
}

const isPoint = (from: StartingPoint | undefined): from is NearPoint => from !== undefined && 'frames' in from

type Pages = StartingPoint['pages']

/** Returns a checkpoint's pages overlaid by the given frames. */
function pagesOver(base: Pages, frames: Frames): Pages {
  const kept: number[] = []
  for (const [index, gfn] of base.gfns.entries()) if (!frames.has(gfn)) kept.push(index)
  const added = [...frames].filter(([, { bytes }]) => bytes !== NOTHING).sort(([a], [b]) => a - b)
  const gfns = new Uint32Array(kept.length + added.length)
  /** Position of a page: from 0 on in the base, below zero in the others. */
  const places = new Int32Array(gfns.length)
  for (let at = 0, i = 0, j = 0; at < gfns.length; at++) {
    const [one, other] = [base.gfns[kept[i] ?? -1] ?? Infinity, added[j]?.[0] ?? Infinity]
    gfns[at] = Math.min(one, other)
    places[at] = one < other ? kept[i++]! : ~j++
  }
  const own = (place: number): Frame => added[~place]![1]
  return {
    state: undefined,
    gfns,
    source: base.source,
    contents: (index) => (places[index]! < 0 ? own(places[index]!).bytes : base.contents(places[index]!)),
    identity: (index) => (places[index]! < 0 ? own(places[index]!).identity : base.identity(places[index]!)),
  }
}
