import { NAMESPACE } from './identify.ts'

const ERROR_INFORMATION = 1
const HEALTH = 2
const FIRMWARE_SLOTS = 3
const CHANGED_NAMESPACES = 4

const KELVIN = 307
/** Reads and writes are counted in thousands of 512 bytes. */
const DATA_UNIT = 512_000

/** The amounts that have been moved since power-on, in the order of their list in saved states. */
export const NO_COUNTERS = { readBytes: 0, writtenBytes: 0, reads: 0, writes: 0 }

export type NvmeCounters = typeof NO_COUNTERS

/**
 * A log page.
 *
 * Source: NVM Express 1.4, §5.14.1, "Log Specific Information".
 *
 * @param changed - the namespace has changed since the guest last looked
 * @returns null for an unknown log page
 */
export function logPage(id: number, counters: NvmeCounters, changed: boolean): Uint8Array | null {
  switch (id) {
    case ERROR_INFORMATION:
      return new Uint8Array(64)
    case HEALTH:
      return health(counters)
    case FIRMWARE_SLOTS: {
      const page = new Uint8Array(512)
      page[0] = 1
      page.set(new TextEncoder().encode('1.0     '), 8)
      return page
    }
    case CHANGED_NAMESPACES: {
      const page = new Uint8Array(4096)
      if (changed) page[0] = NAMESPACE
      return page
    }
    default:
      return null
  }
}

/** Whether reading the page tells of a changed namespace. */
export const isChangeList = (id: number): boolean => id === CHANGED_NAMESPACES

/** The SMART / Health Information page. Source: NVM Express 1.4, figure 194. */
function health({ readBytes, writtenBytes, reads, writes }: NvmeCounters): Uint8Array {
  const page = new Uint8Array(512)
  const view = new DataView(page.buffer)
  view.setUint16(1, KELVIN, true)
  page[3] = 100 // per cent of the spare
  page[4] = 10 // threshold of the spare blocks
  const long = (at: number, value: number): void => {
    view.setUint32(at, value % 2 ** 32, true)
    view.setUint32(at + 4, value / 2 ** 32, true)
  }
  long(32, Math.ceil(readBytes / DATA_UNIT))
  long(48, Math.ceil(writtenBytes / DATA_UNIT))
  long(64, reads)
  long(80, writes)
  return page
}
