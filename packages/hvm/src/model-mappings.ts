import { guestMapOf, MapCache } from '@retrap/mapcache'
import type { MachineMemory } from '@retrap/memory'
import type { DirtyLogs } from './dirty-logs.ts'
import type { FrameHolds } from './frame-holds.ts'
import type { SecondLevelFaults } from './second-level.ts'

/** What device models map guest memory through. */
export interface ModelMappingsParts {
  readonly memory: MachineMemory
  readonly secondLevel: SecondLevelFaults
  readonly logs: DirtyLogs
  readonly frames: FrameHolds
  /** Views are copies, and are looked at after their release. */
  readonly checked: boolean
}

/** The mappings of guest memory that the device models of this process have: a cache for each. */
export class ModelMappings {
  readonly #parts: ModelMappingsParts
  readonly #map: ReturnType<typeof guestMapOf>
  /** The caches, of models that have gone as well. */
  #caches: readonly { readonly device: string; readonly cache: MapCache }[] = []

  constructor(parts: ModelMappingsParts) {
    this.#parts = parts
    const { logs } = parts
    this.#map = guestMapOf(
      parts.secondLevel,
      (gfn, count) => logs.mark(gfn, count),
      (gfn, count) => logs.beforeWrites?.(gfn, count),
    )
  }

  /** Makes a model's cache. */
  open(device: string): MapCache {
    const { memory, frames, checked } = this.#parts
    const cache = new MapCache({ memory, map: this.#map, references: frames, development: checked })
    // Models come and go; the views that they have kept are still asked for.
    const kept = checked ? this.#caches : this.#caches.filter((each) => !each.cache.closed)
    this.#caches = [...kept, { device, cache }]
    return cache
  }

  /** See {@link MapCache.heldForWriting}: of all caches. */
  heldForWriting(each: (gfn: number, count: number) => void): void {
    for (const { cache } of this.#caches) cache.heldForWriting(each)
  }

  /** Views that were written after their mapping had been released: of each model's last 64 released pieces. */
  keptViews(): { readonly device: string; readonly gpa: number; readonly length: number }[] {
    return this.#caches.flatMap(({ device, cache }) => cache.keptViews().map((view) => ({ device, ...view })))
  }
}
