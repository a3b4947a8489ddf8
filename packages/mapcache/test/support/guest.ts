import { MachineMemory } from '@retrap/memory'
import { FrameCounts, P2m, P2mType } from '@retrap/p2m'
import { guestMapOf, MapCache, MapCacheError, type MapCacheOptions } from '../../src/index.ts'

/** A guest whose RAM is counted: removal drops the guest's reference, and the last reference frees the frame. */
export interface Guest {
  readonly memory: MachineMemory
  readonly counts: FrameCounts
  readonly p2m: P2m
  /** Calls of `dirtied`. */
  readonly dirty: [gfn: number, count: number][]
  cache(options?: Partial<MapCacheOptions>): MapCache
  /** Gives the guest fresh RAM, of consecutive machine frames as long as none has been freed. */
  ram(gfn: number, count?: number, type?: number): void
  /** Removes what is there. @returns its machine frame */
  remove(gfn: number): number
  mfn(gfn: number): number
}

export function createGuest(bytes = 8 << 20): Guest {
  const memory = MachineMemory.create({ bytes })
  const counts = FrameCounts.create(memory)
  const p2m = P2m.create(memory)
  const dirty: [number, number][] = []
  p2m.onRelease((_gfn, mfn, order) => counts.drop(mfn, 2 ** order))
  const mfn = (gfn: number): number => p2m.translate(gfn * 4096) / 4096
  return {
    memory,
    counts,
    p2m,
    dirty,
    mfn,
    cache: (options) =>
      new MapCache({
        memory,
        map: guestMapOf(p2m, (gfn, count) => dirty.push([gfn, count])),
        references: counts,
        ...options,
      }),
    ram(gfn, count = 1, type = P2mType.RAM_RW) {
      // All at once, so that no table takes a frame in between.
      const frames = Array.from({ length: count }, () => memory.frames.allocate())
      for (const [i, frame] of frames.entries()) {
        counts.adopt(frame, 1)
        p2m.insert(gfn + i, frame, 0, type)
      }
    },
    remove(gfn) {
      const frame = mfn(gfn)
      p2m.remove(gfn, frame)
      return frame
    },
  }
}

export function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof MapCacheError) return error.code
    throw error
  }
  return 'none'
}
