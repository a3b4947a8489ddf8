import type { XenArchitecture } from './architecture.ts'
import type { XenGuestState } from './guest.ts'
import { checkEvents } from './saved-events.ts'
import type { SavedRings } from './store/guest-services.ts'
import { HVM_PARAMETERS } from './hvm-parameters.ts'
import { findRam, GUEST_FRAMES, type XenGuestFrames } from './guest-frames.ts'
import { GRANT_FORMATS } from './memory/grant-entries.ts'
import { type GrantTableState, MAX_GRANT_FRAMES, MAX_MAPPINGS, STATUS_PER_FRAME } from './memory/grant-table.ts'
import { RANGE_BYTES, type SavedPage, type XenMemoryState } from './memory/xen-memory.ts'
import { bytes, demand, fields, flag, list, orNull, savedPage, text, whole, word64 } from './state-checks.ts'
import { checkServices } from './store/saved-store.ts'
import { WATCHDOGS } from './watchdogs.ts'

/** The parts of a saved `XenState` that its RAM and Xen's pages are restored from. RAM is named by guest frame. */
export interface XenSavedState extends XenGuestState {
  readonly memory: XenMemoryState
  readonly grants: GrantTableState
  readonly sharedInfo: SavedPage
  readonly services: SavedRings
  readonly blocked: unknown
}

/** The machine frames' order of runs that are mapped nowhere. */
const LARGEST_ORDER = 9
/** More than a guest can set. */
const MOST_MEMORY_MAP_BYTES = 4096 * RANGE_BYTES
const HANDLE_BYTES = 16
const PIRQS = 256
const POLLED_PORTS = 128
const PORT = whole(0, 0xffff_ffff)
const FRAME = whole(0, GUEST_FRAMES - 1)

/** The parts of a guest that a saved state has to fit. */
interface SavedGuest {
  readonly domainId: number
  readonly architecture: Pick<XenArchitecture, 'layouts' | 'vcpus' | 'wires'>
}

/**
 * Checks a saved state, which may come from anywhere.
 *
 * @param frames - the guest's RAM and ROM, from low to high
 * @throws XenError `ERR_STATE`, naming the field and what was expected
 */
export function checkSavedState(
  given: unknown,
  { domainId, architecture }: SavedGuest,
  frames: readonly XenGuestFrames[],
): asserts given is XenSavedState {
  const vcpus = architecture.vcpus.length
  const vcpu = whole(0, vcpus - 1)
  fields({ version: whole(3, 3) })(given, 'state')
  checkFrames(frames)
  fields({
    domainId: whole(domainId, domainId),
    handle: bytes(HANDLE_BYTES, HANDLE_BYTES),
    memory: fields({
      version: whole(2, 2),
      maximum: orNull(whole(0, GUEST_FRAMES)),
      unmapped: list(whole(0, LARGEST_ORDER), GUEST_FRAMES),
    }),
    grants: fields({
      version: whole(3, 3),
      entries: whole(1, 2),
      pages: list(savedPage, MAX_GRANT_FRAMES),
      statusPages: list(savedPage, MAX_GRANT_FRAMES),
      uses: list(
        fields({
          ref: FRAME,
          gfn: FRAME,
          at: FRAME,
          from: whole(0, 4096),
          to: whole(0, 4096),
          readers: whole(0, MAX_MAPPINGS),
          writers: whole(0, MAX_MAPPINGS),
        }),
        MAX_MAPPINGS,
      ),
      mappings: list(fields({ handle: whole(0, MAX_MAPPINGS - 1), ref: FRAME, gfn: FRAME, write: flag }), MAX_MAPPINGS),
    }),
    parameters: list(text(/^[\da-f]{1,16}$/, 16), HVM_PARAMETERS, HVM_PARAMETERS),
    watchdogs: list(orNull(word64), WATCHDOGS, WATCHDOGS),
    blocked: fields({
      version: whole(2, 2),
      vcpus: list(fields({ vcpu, ports: list(PORT, POLLED_PORTS), deadline: orNull(word64) }), vcpus),
    }),
    pirqs: fields({
      version: whole(1, 1),
      sources: list(fields({ pirq: whole(0, PIRQS - 1), source: whole(-2, architecture.wires.inputs - 1) }), PIRQS),
      reserved: list(whole(0, PIRQS - 1), PIRQS),
    }),
    sharedInfo: savedPage,
    events: (value, path) => checkEvents(value, path, architecture, frames),
    services: checkServices,
    memoryMap: bytes(0, MOST_MEMORY_MAP_BYTES),
    shutdown: orNull(whole(0, 0xff)),
  })(given, 'state')
  const state = given as XenSavedState
  checkGrants(state.grants, frames)
  checkPlaces(state, frames)
}

function checkFrames(frames: readonly XenGuestFrames[]): void {
  let end = 0
  for (const [i, { gfn, count, kind }] of frames.entries()) {
    const isRun = Number.isSafeInteger(gfn) && Number.isSafeInteger(count) && gfn >= end && count > 0
    // A device's ROM may lie above RAM.
    demand(isRun && (kind === 'rom' || gfn + count <= GUEST_FRAMES), gfn, `frames[${i}].gfn`, 'runs from low to high')
    end = gfn + count
  }
}

/** The uses are those of the mappings, of frames that the guest has. */
function checkGrants(grants: GrantTableState, frames: readonly XenGuestFrames[]): void {
  const { entries, pages, statusPages, uses, mappings } = grants
  const path = 'state.grants'
  const refs = (pages.length * 4096) / GRANT_FORMATS[entries].bytes
  const statuses = entries === 1 ? 0 : Math.ceil(refs / STATUS_PER_FRAME)
  demand(statusPages.length >= statuses, statusPages.length, `${path}.statusPages`, `${statuses} or more`)
  const counts = new Map(uses.map(({ ref }) => [ref, { readers: 0, writers: 0 }]))
  demand(counts.size === uses.length, uses.length, `${path}.uses`, 'each grant once')
  const handles = new Set<number>()
  for (const { handle, ref, write } of mappings) {
    const count = counts.get(ref)
    demand(count !== undefined && !handles.has(handle), ref, `${path}.mappings`, 'grants in use, and each handle once')
    handles.add(handle)
    if (write) count.writers++
    else count.readers++
  }
  for (const { ref, at, readers, writers } of uses) {
    const count = counts.get(ref)!
    const isMapped = count.readers === readers && count.writers === writers && readers + writers > 0
    demand(isMapped && ref < refs, ref, `${path}.uses`, 'grants of the table with their mappings')
    demand(findRam(frames, at, writers === 0), at, `${path}.uses`, 'frames of the guest')
  }
}

/** Pages of Xen's own and mappings of grants are where the guest has no RAM, and no two at one place. */
function checkPlaces({ sharedInfo, grants, services }: XenSavedState, frames: readonly XenGuestFrames[]): void {
  const taken = new Set<number>()
  const pages = [sharedInfo, services.storePage, services.consolePage, ...grants.pages, ...grants.statusPages]
  for (const { gfn } of [...pages, ...grants.mappings]) {
    if (gfn < 0) continue
    const isFree = !taken.has(gfn) && !findRam(frames, gfn, true)
    demand(isFree, gfn, 'state: the place of a page', 'a guest frame without anything else')
    taken.add(gfn)
  }
}
