import { guestMapOf, MapCache } from '@retrap/mapcache'
import type { MachineMemory } from '@retrap/memory'
import type { DirtyLogs } from './dirty-logs.ts'
import type { FrameHolds } from './frame-holds.ts'
import type { SecondLevelFaults } from './second-level.ts'

/** The mappings of guest memory that the device models of this process have: a cache for each. */
export class ModelMappings {
  readonly #memory: MachineMemory
  readonly #secondLevel: SecondLevelFaults
  readonly #logs: DirtyLogs
  readonly #frames: FrameHolds
  readonly #checked: boolean
  /** The caches, of models that have gone as well. */
  #caches: readonly { readonly device: string; readonly cache: MapCache }[] = []

  /** @param checked - views are copies, and are looked at after their release */
  constructor(
    memory: MachineMemory,
    secondLevel: SecondLevelFaults,
    logs: DirtyLogs,
    frames: FrameHolds,
    checked: boolean,
  ) {
    this.#memory = memory
    this.#secondLevel = secondLevel
    this.#logs = logs
    this.#frames = frames
    this.#checked = checked
  }

  /** Makes a model's cache. */
  open(device: string): MapCache {
    const logs = this.#logs
    const map = guestMapOf(
      this.#secondLevel,
      (gfn, count) => {
        logs.mark(gfn, count)
        logs.wroteBy?.(device, gfn, count)
      },
      (gfn, count) => logs.beforeWrites?.(gfn, count),
    )
    const cache = new MapCache({ memory: this.#memory, map, references: this.#frames, development: this.#checked })
    // Models come and go; the views that they have kept are still asked for.
    const kept = this.#checked ? this.#caches : this.#caches.filter((each) => !each.cache.closed)
    this.#caches = [...kept, { device, cache }]
    return cache
  }

  /** See {@link MapCache.heldForWriting}: of all caches. */
  heldForWriting(each: (gfn: number, count: number) => void): void {
    for (const { cache } of this.#caches) cache.heldForWriting(each)
  }

  /** Forgets what no model holds just now: it is looked up again when it is next needed. */
  forget(): void {
    for (const { cache } of this.#caches) cache.invalidate()
  }

  /** Views that were written after their mapping had been released: of each model's last 64 released pieces. */
  keptViews(): { readonly device: string; readonly gpa: number; readonly length: number }[] {
    return this.#caches.flatMap(({ device, cache }) => cache.keptViews().map((view) => ({ device, ...view })))
  }
}
