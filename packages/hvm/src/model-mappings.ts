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
  /** The caches, where they are checked. */
  readonly #checked: { readonly device: string; readonly cache: MapCache }[] = []

  constructor(parts: ModelMappingsParts) {
    this.#parts = parts
    this.#map = guestMapOf(parts.secondLevel, (gfn, count) => parts.logs.mark(gfn, count))
  }

  /** Makes a model's cache. */
  open(device: string): MapCache {
    const { memory, frames, checked } = this.#parts
    const cache = new MapCache({ memory, map: this.#map, references: frames, development: checked })
    if (checked) this.#checked.push({ device, cache })
    return cache
  }

  /** Views that were written after their mapping had been released: of each model's last 64 released pieces. */
  keptViews(): { readonly device: string; readonly gpa: number; readonly length: number }[] {
    return this.#checked.flatMap(({ device, cache }) => cache.keptViews().map((view) => ({ device, ...view })))
  }
}
