import type { DeviceMemory } from '@retrap/device'
import type { SharedDevicesOptions } from '@retrap/device-host'
import { guestMapOf, MapCache } from '@retrap/mapcache'
import { MachineMemory, type WasmMemory } from '@retrap/memory'
import { FrameCounts, P2m } from '@retrap/p2m'
import { FrameHolds } from './frame-holds.ts'

/** Where a guest's memory is, for Workers: posted to them, and taken by {@link openGuestMemory}. */
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
 * @throws MemoryError, P2mError where they lead to no machine, and no map
 */
export function openGuestMemory(
  handles: GuestMemoryHandles,
): (modified: (gfn: number, count: number) => void) => DeviceMemory {
  const memory = MachineMemory.attach(handles.memory)
  const p2m = P2m.attach(memory, handles.p2m)
  const references = new FrameHolds(FrameCounts.attach(memory, handles.frameCounts))
  return (modified) => new MapCache({ memory, map: guestMapOf(p2m, modified), references })
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
