import { findRam, GUEST_FRAMES, type XenGuestFrames } from './guest-frames.ts'
import { demand, fields, flag, list, orNull, text, bytes, whole, word64 } from './state-checks.ts'
import { MOST_VCPU_INFO_BYTES } from './shared/shared-layouts.ts'
import type { XenArchitecture } from './architecture.ts'
import { EventStatus } from './events/event-port.ts'
import { NR_VIRQS } from './events/event-port-table.ts'
import { CONTROL_BLOCK_BYTES, FIFO_LINK_BITS, LOWEST_PRIORITY } from './events/fifo-events.ts'

const PORTS = 2 ** FIFO_LINK_BITS
const QUEUES = LOWEST_PRIORITY + 1
const PAGES = PORTS / 1024
const WORD = whole(0, 0xffff_ffff)
const PORT = whole(0, PORTS - 1)
const PAGE_BYTES = 4096
/** VCPUOP_set_periodic_timer refuses shorter ones. */
const SHORTEST_PERIOD_NS = 1_000_000

/** The parts of a guest that its event channels have to fit. */
type EventsGuest = Pick<XenArchitecture, 'layouts' | 'vcpus'>

const area = orNull(fields({ linear: text(/^[\da-f]{1,16}$/, 16), compat: flag }))

/**
 * Checks the event channels of a saved state, and what vCPUs share with the hypervisor.
 *
 * @param frames - its RAM and ROM, from low to high
 * @throws XenError `ERR_STATE`
 */
export function checkEvents(value: unknown, path: string, guest: EventsGuest, frames: readonly XenGuestFrames[]): void {
  const vcpus = guest.vcpus.length
  const vcpu = whole(0, vcpus - 1)
  const address = whole(-2, GUEST_FRAMES * PAGE_BYTES - 1)
  const {
    info,
    channels,
    vcpus: states,
  } = fields({
    version: whole(2, 2),
    info: fields({
      version: whole(2, 2),
      longMode: flag,
      wallClock: fields({ seconds: whole(0, Number.MAX_SAFE_INTEGER), nanoseconds: whole(0, 999_999_999) }),
      vcpuInfo: list(whole(1 - 2 * PAGE_BYTES, GUEST_FRAMES * PAGE_BYTES - 1), vcpus, vcpus),
      own: bytes(vcpus * MOST_VCPU_INFO_BYTES, vcpus * MOST_VCPU_INFO_BYTES),
    }),
    channels: fields({
      version: whole(3, 3),
      ports: list(
        fields({
          port: whole(1, PORTS - 1),
          status: whole(EventStatus.unbound, EventStatus.ipi),
          vcpu,
          priority: whole(0, LOWEST_PRIORITY),
          remoteDomain: whole(0, 0xffff),
          remotePort: WORD,
          virq: whole(0, NR_VIRQS - 1),
        }),
        PORTS,
      ),
      nextHostPort: whole(1, 0x7fff_ffff),
      fifo: orNull(
        fields({
          version: whole(2, 2),
          pages: list(whole(-1, GUEST_FRAMES - 1), PAGES),
          blocks: list(address, vcpus, vcpus),
          tails: list(PORT, vcpus * QUEUES, vcpus * QUEUES),
          queues: list(fields({ port: PORT, queue: whole(0, vcpus * QUEUES - 1) }), PORTS),
          early: list(PORT, PORTS),
        }),
      ),
    }),
    upcalls: fields({
      version: whole(2, 2),
      callbackLo: WORD,
      callbackHi: WORD,
      vectors: list(whole(0, 0xff), vcpus),
      owed: list(flag, vcpus),
      asserted: list(flag, vcpus),
    }),
    vcpus: list(
      fields({
        version: whole(2, 2),
        down: flag,
        initialised: flag,
        placed: flag,
        singleShot: orNull(word64),
        period: word64,
        nextPeriod: orNull(word64),
        runstate: fields({ state: whole(0, 3), since: word64, spent: list(word64, 4, 4) }),
        runstateArea: area,
        timeArea: area,
      }),
      vcpus,
      vcpus,
    ),
  })(value, path)
  const { vcpuInfoBytes } = guest.layouts[info.longMode ? 'native' : 'compat']
  const where = `${path}.info.vcpuInfo`
  for (const gpa of info.vcpuInfo) {
    const isPlace = gpa >= -2 || (gpa <= -PAGE_BYTES && isInPage(-PAGE_BYTES - gpa, vcpuInfoBytes, 4))
    demand(isPlace, gpa, where, 'places in the page')
    checkRam(frames, gpa, vcpuInfoBytes, 4, where)
  }
  const { ports, fifo } = channels
  const numbers = new Set(ports.map(({ port }) => port))
  demand(numbers.size === ports.length, ports.length, `${path}.channels.ports`, 'each port once')
  for (const gfn of fifo?.pages ?? [])
    checkRam(frames, gfn < 0 ? gfn : gfn * PAGE_BYTES, PAGE_BYTES, 4, `${path}.channels.fifo.pages`)
  for (const gpa of fifo?.blocks ?? []) checkRam(frames, gpa, CONTROL_BLOCK_BYTES, 8, `${path}.channels.fifo.blocks`)
  for (const { period } of states) {
    const isLong = period.hi > 0 || period.lo >= SHORTEST_PERIOD_NS || period.lo === 0
    demand(isLong, period.lo, `${path}.vcpus: a period`, `0, or ${SHORTEST_PERIOD_NS} ns and more`)
  }
}

/** Whether a structure does not leave the page that it begins in. */
const isInPage = (place: number, size: number, align: number): boolean =>
  (place % PAGE_BYTES) + size <= PAGE_BYTES && place % align === 0

/** @param gpa - address of a structure within one page; negative: none */
function checkRam(frames: readonly XenGuestFrames[], gpa: number, size: number, align: number, path: string): void {
  if (gpa < 0) return
  const isRam = isInPage(gpa, size, align) && findRam(frames, Math.floor(gpa / PAGE_BYTES), false)
  demand(isRam, gpa, path, 'addresses of RAM')
}
