import { guestMapOf, MapCache, type FrameReferences, type FrameUse } from '@retrap/mapcache'
import { MachineMemory, type WasmMemory } from '@retrap/memory'
import type { DirtyLogs } from './dirty-logs.ts'
import type { SecondLevelFaults } from './second-level.ts'
import { FrameCounts, P2m, P2mEntry } from '@retrap/p2m'
import type { SharedDevicesOptions } from '@retrap/device-hosting'
import type { KeptByHypervisor } from '../kept-by-hypervisor.ts'

/**
 * References to the machine frames of a guest's RAM. A frame that is not counted, because a toolstack put it into the map
 * itself, is held without a reference.
 */
export class FrameHolds implements FrameReferences {
  readonly #counts: FrameCounts
  /** References to frames without a count at the time, by MFN. */
  readonly #uncounted = new Map<number, number>()

  constructor(counts: FrameCounts) {
    this.#counts = counts
  }

  /** Takes a reference to each of a run of machine frames. @returns true: frames that are not counted are held without */
  tryTake(mfn: number, count: number): boolean {
    if (this.#counts.count(mfn) !== 0 && this.#counts.tryTake(mfn, count)) return true
    for (let frame = mfn; frame < mfn + count; frame++) {
      if (this.#counts.count(frame) !== 0 && this.#counts.tryTake(frame, 1)) continue
      this.#uncounted.set(frame, (this.#uncounted.get(frame) ?? 0) + 1)
    }
    return true
  }

  /** Drops a reference to each of a run of machine frames. */
  drop(mfn: number, count: number): void {
    if (this.#uncounted.size === 0) {
      this.#counts.drop(mfn, count)
      return
    }
    for (let frame = mfn; frame < mfn + count; frame++) {
      const held = this.#uncounted.get(frame)
      if (held === undefined) this.#counts.drop(frame, 1)
      else if (held === 1) this.#uncounted.delete(frame)
      else this.#uncounted.set(frame, held - 1)
    }
  }
}

/** A device model that knows or holds a guest frame. */
export interface FrameUser extends FrameUse {
  /** Name of the model. */
  readonly device: string
}

/** The mappings of guest memory that the device models of this process have: a cache for each. */
export class ModelMappings {
  readonly #memory: MachineMemory
  readonly #secondLevel: SecondLevelFaults
  readonly #logs: DirtyLogs
  readonly #frames: FrameHolds
  readonly #checked: boolean
  /** Holder of further RAM to write. */
  hypervisor: Pick<KeptByHypervisor, 'heldForWriting'> | null = null
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

  /** Calls back with the guest frames that device models of this thread, and the guest's hypervisor, hold for writing. */
  heldForWriting(each: (gfn: number, count: number) => void): void {
    this.hypervisor?.heldForWriting(each)
    for (const { cache } of this.#caches) cache.heldForWriting(each)
  }

  /** For people: the device models of this thread that remember a guest frame, or hold a mapping of it. */
  usersOf(gfn: number): FrameUser[] {
    const all = this.#caches.map(({ device, cache }): FrameUser => ({ device, ...cache.useOf(gfn) }))
    return all.filter(({ mfn, held }) => mfn !== null || held > 0)
  }

  /** Drops translations that no model holds: the next use looks them up again. */
  forget(): void {
    for (const { cache } of this.#caches) cache.invalidate()
  }

  /** Views that were written after their mapping had been released: of each model's last 64 released pieces. */
  keptViews(): { readonly device: string; readonly gpa: number; readonly length: number }[] {
    return this.#caches.flatMap(({ device, cache }) => cache.keptViews().map((view) => ({ device, ...view })))
  }
}

/** Handles of a guest's memory for Workers: post them, and open them by {@link openGuestMemory}. */
export interface GuestMemoryHandles {
  /** The machine's; shared. */
  readonly memory: WasmMemory
  /** `P2m.ma` */
  readonly p2m: number
  /** `FrameCounts.ma` */
  readonly frameCounts: number
}

/**
 * Lets the device models of a Worker map a guest's memory themselves: what `openMemory` of `serveSharedDevices` takes.
 *
 * @param handles - `platform.sharedMemory` of a domain whose machine memory is shared
 * @throws MemoryError, P2mError if the handles do not refer to a machine's memory and a map
 */
export function openGuestMemory(handles: GuestMemoryHandles): NonNullable<SharedDevicesOptions['openMemory']> {
  const memory = MachineMemory.attach(handles.memory)
  const p2m = P2m.attach(memory, handles.p2m)
  const references = new FrameHolds(FrameCounts.attach(memory, handles.frameCounts))
  const entry = new P2mEntry()
  const isLogged = (gfn: number, count: number): boolean => {
    for (let at = gfn; at < gfn + count; at += 2 ** entry.order - (at % 2 ** entry.order))
      if (p2m.lookup(at, entry) === p2m.types.logged) return true
    return false
  }
  return (modified, writing) => {
    const announced = (gfn: number, count: number): void => {
      if (isLogged(gfn, count)) writing(gfn, count)
    }
    const view: Parameters<typeof guestMapOf>[0] = {
      format: p2m.format,
      lookup: (gfn, into) => {
        const type = p2m.lookup(gfn, into as P2mEntry)
        if (type !== p2m.types.shared) return type
        // The machine's thread copies what clones share.
        writing(gfn, 1)
        return p2m.lookup(gfn, into as P2mEntry)
      },
    }
    return new MapCache({ memory, map: guestMapOf(view, modified, announced), references })
  }
}

/**
 * Shows the device models of a Worker the memory that they own: what `ownedView` of `serveSharedDevices` takes.
 *
 * @param handles - as of {@link openGuestMemory}
 */
export function openOwnedMemory(handles: GuestMemoryHandles): (location: number, bytes: number) => Uint8Array {
  const { u8 } = MachineMemory.attach(handles.memory)
  return (location, bytes) => u8.subarray(location, location + bytes)
}

/**
 * Both for a Worker: the options of `serveSharedDevices`.
 *
 * @param handles - as of {@link openGuestMemory}; undefined, as where a run is recorded: the models copy memory by messages
 */
export function guestMemoryOptions(
  handles: GuestMemoryHandles | undefined,
): Partial<Pick<SharedDevicesOptions, 'openMemory' | 'ownedView'>> {
  if (handles === undefined) return {}
  return { openMemory: openGuestMemory(handles), ownedView: openOwnedMemory(handles) }
}
