import { PAGE_BYTES } from '@retrap/memory'
import { hex, P2mError } from './errors.ts'
import { HANDED_OVER, type MapCore } from './map-core.ts'
import { P2mEntry } from './radix-table.ts'
import { INVALID_MFN, P2mType } from './types.ts'

/**
 * Paging of guest RAM by a program outside the guest. It nominates a frame, which nobody can reach from then on; saves its
 * contents; evicts it, which frees the machine frame; and brings it back when somebody asks for it:
 *
 * | call | from | to |
 * |-|-|-|
 * | `nominate` | RAM_RW, RAM_LOGDIRTY | RAM_PAGING_OUT |
 * | `evict` | RAM_PAGING_OUT | RAM_PAGED, without a frame |
 * | `request` | RAM_PAGING_OUT, RAM_PAGED | RAM_PAGING_IN |
 * | `prepare` | RAM_PAGED, RAM_PAGING_IN | RAM_PAGING_IN, with a frame and the contents |
 * | `resume` | RAM_PAGING_OUT, RAM_PAGING_IN with a frame | RAM_RW |
 *
 * A guest that gives such a frame back (`P2m.remove`) makes the pager forget it.
 */
export interface MemoryPaging {
  /**
   * Takes a frame out of everybody's reach; its contents stay until `evict`, at `P2m.lookup`'s machine frame. Device
   * models get the same notice as for any release.
   *
   * @throws P2mError `ERR_TYPE` for a frame that cannot be paged out, `ERR_RANGE`, `ERR_NO_MEMORY`
   */
  nominate(gfn: number): void
  /**
   * Frees the machine frame of a nominated guest frame.
   *
   * @throws P2mError `ERR_TYPE` if it is not nominated, or has been asked for since; `ERR_BUSY` while others hold the frame
   */
  evict(gfn: number): void
  /**
   * Notes that a party waits for a frame.
   *
   * @returns `load` if its contents are to be brought, once for all parties that wait; `resume` if it has them still;
   *   `none` if nothing is to be done, or has been asked for already
   */
  request(gfn: number): 'none' | 'resume' | 'load'
  /**
   * Allocates a machine frame with the given contents for a paged-out frame.
   *
   * @param contents - 4096 bytes
   * @throws P2mError `ERR_TYPE`, `ERR_RANGE` for contents of a wrong size, `ERR_NO_MEMORY`; `ERR_BUSY` if repeated
   */
  prepare(gfn: number, contents: Uint8Array): void
  /**
   * Makes a paged-in frame ordinary RAM again. Waiting vCPUs try again then.
   *
   * @throws P2mError `ERR_TYPE`; `ERR_STATE` if it has no contents yet
   */
  resume(gfn: number): void
}

const PAGEABLE = [P2mType.RAM_RW, P2mType.RAM_LOGDIRTY]

/** Implementation over a map. */
export function memoryPaging(core: MapCore): MemoryPaging {
  return {
    nominate: (gfn) =>
      core.change(() => {
        const { mfn, access } = core.expect(gfn, PAGEABLE, 'be paged out')
        core.put(gfn, 0, mfn, P2mType.RAM_PAGING_OUT, access)
      }),

    evict: (gfn) =>
      core.change(() => {
        const { mfn, access } = core.expect(gfn, [P2mType.RAM_PAGING_OUT], 'be evicted')
        const held = core.counts?.count(mfn) ?? 1
        if (held > 1) {
          throw new P2mError('ERR_BUSY', `guest frame ${hex(gfn)} is held by ${held - 1} others`, { gfn, held })
        }
        core.put(gfn, 0, INVALID_MFN, P2mType.RAM_PAGED, access)
      }),

    request: (gfn) =>
      core.change(() => {
        core.checkRange(gfn, 1)
        const entry = new P2mEntry()
        const type = core.table.lookup(gfn, entry)
        if (type !== P2mType.RAM_PAGED && type !== P2mType.RAM_PAGING_OUT) return 'none'
        core.put(gfn, 0, entry.mfn, P2mType.RAM_PAGING_IN, entry.access)
        return type === P2mType.RAM_PAGED ? 'load' : 'resume'
      }),

    prepare: (gfn, contents) =>
      core.change(() => {
        const { mfn, access } = core.expect(gfn, [P2mType.RAM_PAGED, P2mType.RAM_PAGING_IN], 'be brought back')
        if (contents.length !== PAGE_BYTES) {
          throw new P2mError('ERR_RANGE', `contents of ${contents.length} bytes: expected ${PAGE_BYTES}`, {
            bytes: contents.length,
          })
        }
        if (mfn !== INVALID_MFN) throw new P2mError('ERR_BUSY', `guest frame ${hex(gfn)} has its contents`, { gfn })
        const frame = core.takeFrame()
        core.memory.write(frame * PAGE_BYTES, contents)
        core.put(gfn, 0, frame, P2mType.RAM_PAGING_IN, access, HANDED_OVER)
      }),

    resume: (gfn) =>
      core.change(() => {
        const entry = core.expect(gfn, [P2mType.RAM_PAGING_IN, P2mType.RAM_PAGING_OUT], 'be resumed')
        if (entry.mfn === INVALID_MFN) {
          throw new P2mError('ERR_STATE', `guest frame ${hex(gfn)} has no contents yet`, { gfn })
        }
        core.put(gfn, 0, entry.mfn, P2mType.RAM_RW, entry.access)
      }),
  }
}
