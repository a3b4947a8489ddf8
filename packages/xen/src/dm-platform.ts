import type { InterruptLine } from '@retrap/device'
import { DM_ERRNO, type DmOpFields, type DmOpHandler, type DmPlatform } from '@retrap/ioreq'
import { isRam, type LogDirty, MAX_GFN, P2mEntry, P2mError, P2mType } from '@retrap/p2m'
import type { XenDomain } from './domain.ts'
import { shutdownExit } from './shutdown.ts'

const LINKS = 4
const INTX_PINS = 4
const EXTENT_BYTES = 16
/** Frames that `sweep` looks at in one go. */
const SWEEP = 1 << 20

/** `HVMMEM_*` of Xen's public header hvm/hvm_op.h. */
const MEM_RAM_RW = 0
const MEM_RAM_RO = 1
const MEM_MMIO_DM = 2
const MEM_IOREQ_SERVER = 4
/** `X86_ET_*`: kinds of events. */
const EVENT_EXTERNAL = 0
const EVENT_NMI = 2
const EVENT_EXCEPTION = 3
/** Marks an event without error code. */
const NO_ERROR_CODE = 0xffff_ffff
/** `XEN_DMOP_MEM_CACHEATTR_*`: UC, WC, WT, WP, WB, UC−, and "no longer". */
const CACHE_TYPES: readonly number[] = [0, 1, 4, 5, 6, 7, 0xffff_ffff]

const ERRNO_BY_CODE: Readonly<Partial<Record<P2mError['code'], number>>> = {
  ERR_BUSY: DM_ERRNO.EBUSY,
  ERR_NO_MEMORY: 12,
}

/**
 * The operations that an emulator asks of a domain with `DmOps`: interrupts, memory, events, shutdown.
 *
 * Departures from Xen: the kinds of events that a program raises itself (INT n and its like) cannot be injected
 * (−EOPNOTSUPP), and memory types of caches are checked and have no effect, as there are no caches. Operations are not
 * split up: none comes back with part of it left.
 *
 * Source: Xen's public header hvm/dm_op.h.
 */
export function dmPlatform(domain: XenDomain): DmPlatform {
  const interrupts = new EmulatorLines(domain)
  const memory = new EmulatorMemory(domain)
  return {
    setPciIntx: (f) => interrupts.intx(f['device']!, f['intx']!, f['level'] === 1),
    setIsaIrq: (f) => interrupts.isa(f['irq']!, f['level'] === 1),
    setPciLink: (f) => interrupts.route(f['link']!, f['irq']!),
    injectMsi: (f) => {
      domain.interrupts.signalMsi(f['address']!, f['data']!)
      return 0
    },
    injectEvent: (f) => injectEvent(domain, f),
    trackDirtyVram: guarded((f, bulk) => memory.trackVram(f['firstFrame']!, f['count']!, bulk)),
    modifiedMemory: guarded((f, bulk) => memory.modified(f['extents']!, bulk)),
    setMemType: guarded((f) => memory.setType(f['firstFrame']!, f['count']!, f['type']!)),
    mapMemType: guarded((f) => memory.claim(f['id']!, f['type']!, f['flags']!)),
    relocateMemory: guarded((f) => memory.relocate(f['from']!, f['to']!, f['count']!)),
    pinCacheAttributes: (f) => (CACHE_TYPES.includes(f['type']!) && f['end']! >= f['start']! ? 0 : -DM_ERRNO.EINVAL),
    remoteShutdown: (f) => {
      domain.stop(shutdownExit(0, f['reason']!))
      return 0
    },
  }
}

/** The map's refusals as error numbers. */
function guarded(handler: DmOpHandler): DmOpHandler {
  return (fields, bulk) => {
    try {
      return handler(fields, bulk)
    } catch (error) {
      if (error instanceof P2mError) return -(ERRNO_BY_CODE[error.code] ?? DM_ERRNO.EINVAL)
      throw error
    }
  }
}

function injectEvent(domain: XenDomain, f: DmOpFields): number {
  const vcpu = domain.vcpus[f['vcpu']!]
  if (vcpu === undefined) return -DM_ERRNO.EINVAL
  const { cpu } = vcpu
  const error = f['errorCode'] === NO_ERROR_CODE ? -1 : f['errorCode']!
  const cr2 = f['cr2']!
  switch (f['type']) {
    case EVENT_NMI:
      cpu.nmi()
      break
    case EVENT_EXTERNAL:
    case EVENT_EXCEPTION: {
      const external = f['type'] === EVENT_EXTERNAL
      if (!cpu.inject(f['vector']!, external, error, cr2 >>> 0, Math.floor(cr2 / 2 ** 32))) return -DM_ERRNO.EBUSY
      break
    }
    default:
      return -DM_ERRNO.EOPNOTSUPP
  }
  domain.wake()
  return 0
}

/** The wires that an emulator drives. */
class EmulatorLines {
  readonly #domain: XenDomain
  /** By ISA interrupt. */
  readonly #isa: InterruptLine[] = []
  /** By device · 4 + pin. */
  readonly #intx: InterruptLine[] = []
  readonly #levels = new Uint8Array(32 * INTX_PINS)
  /** By PCI link: number of asserting pins, routed ISA interrupt, and wire. */
  readonly #driven = new Uint16Array(LINKS)
  readonly #routes = new Uint8Array(LINKS)
  readonly #linkLines: (InterruptLine | undefined)[] = []

  constructor(domain: XenDomain) {
    this.#domain = domain
  }

  /** IRQ 2 is where the second interrupt controller is. */
  isa(irq: number, level: boolean): number {
    if (irq === 2) return -DM_ERRNO.EINVAL
    const line = (this.#isa[irq] ??= this.#domain.interrupts.line(irq))
    line.set(level)
    return 0
  }

  intx(device: number, pin: number, level: boolean): number {
    const at = device * INTX_PINS + pin
    if ((this.#levels[at] !== 0) === level) return 0
    this.#levels[at] = level ? 1 : 0
    const line = (this.#intx[at] ??= this.#domain.pciInterrupt(device, pin + 1))
    line.set(level)
    const link = (device + pin) & (LINKS - 1)
    this.#driven[link]! += level ? 1 : -1
    this.#drive(link)
    return 0
  }

  /** @param irq - 0: to none */
  route(link: number, irq: number): number {
    if (irq === 2) return -DM_ERRNO.EINVAL
    this.#linkLines[link]?.set(false)
    this.#routes[link] = irq
    this.#linkLines[link] = irq === 0 ? undefined : this.#domain.interrupts.line(irq)
    this.#drive(link)
    return 0
  }

  #drive(link: number): void {
    this.#linkLines[link]?.set(this.#driven[link]! > 0)
  }
}

/** The guest's memory as an emulator changes it. */
class EmulatorMemory {
  readonly #domain: XenDomain
  readonly #entry = new P2mEntry()
  #vram: LogDirty | null = null

  constructor(domain: XenDomain) {
    this.#domain = domain
  }

  /** @param bitmap - receives a bit a frame: written since the last call. Everything, at first. No frames: an end of it. */
  trackVram(gfn: number, count: number, bitmap: Uint8Array): number {
    const { dirtyLogs } = this.#domain
    const old = this.#vram
    if (count === 0) {
      if (old !== null) dirtyLogs.stop(old)
      this.#vram = null
      return 0
    }
    const bytes = (count + 7) >>> 3
    if (!inMap(gfn, count) || bitmap.length < bytes) return -DM_ERRNO.EINVAL
    if (old === null || old.gfn !== gfn || old.count !== count) {
      if (old !== null) dirtyLogs.stop(old)
      this.#vram = null
      this.#vram = dirtyLogs.start(gfn, count)
      bitmap.fill(0xff, 0, bytes)
      return 0
    }
    const words = new Uint32Array((count + 31) >>> 5)
    old.take(words)
    bitmap.set(new Uint8Array(words.buffer).subarray(0, bytes))
    return 0
  }

  /** @param list - extents of 16 bytes: count (u32), padding, first frame (u64); handled last to first */
  modified(extents: number, list: Uint8Array): number {
    if (list.length < extents * EXTENT_BYTES) return -DM_ERRNO.EINVAL
    const view = new DataView(list.buffer, list.byteOffset, list.length)
    for (let i = extents - 1; i >= 0; i--) {
      const at = i * EXTENT_BYTES
      const count = view.getUint32(at, true)
      const gfn = Number(view.getBigUint64(at + 8, true))
      if (view.getUint32(at + 4, true) !== 0 || (count > 0 && !inMap(gfn, count))) return -DM_ERRNO.EINVAL
      if (count > 0) this.#domain.dirtyLogs.modified(gfn, count)
    }
    return 0
  }

  /** Frames before one that cannot be changed have been. */
  setType(gfn: number, count: number, type: number): number {
    const { p2m } = this.#domain
    if (count > 0 && !inMap(gfn, count)) return -DM_ERRNO.EINVAL
    if (type !== MEM_RAM_RW && type !== MEM_RAM_RO && type !== MEM_MMIO_DM && type !== MEM_IOREQ_SERVER) {
      return -DM_ERRNO.EINVAL
    }
    if (type === MEM_IOREQ_SERVER && p2m.writeClaim.server < 0) return -DM_ERRNO.EINVAL
    for (let at = gfn; at < gfn + count; at++) {
      const old = p2m.lookup(at, this.#entry)
      const { mfn } = this.#entry
      if (type === MEM_IOREQ_SERVER) p2m.writeClaim.add(at, 1)
      else if (old === P2mType.IOREQ_SERVER) {
        if (type !== MEM_RAM_RW) return -DM_ERRNO.EINVAL
        p2m.writeClaim.remove(at, 1)
      } else if (!isRam(old)) {
        // Only holes may be declared MMIO, and only RAM the other types.
        if (type !== MEM_MMIO_DM || old !== P2mType.MMIO_DM) return -DM_ERRNO.EINVAL
      } else if (type === MEM_MMIO_DM) p2m.remove(at, mfn, 1)
      else if (p2m.setType(at, 1, type === MEM_RAM_RO ? P2mType.RAM_RO : P2mType.RAM_RW) === 0 && !this.#is(at, type)) {
        // RAM that must first become ordinary: it is paged out or shared.
        return -DM_ERRNO.EINVAL
      }
    }
    return 0
  }

  #is(gfn: number, type: number): boolean {
    return this.#domain.p2m.lookup(gfn, this.#entry) === (type === MEM_RAM_RO ? P2mType.RAM_RO : P2mType.RAM_RW)
  }

  /** @param flags - 2: writes are the server's; 0: no longer, and what is left of it is RAM again */
  claim(server: number, type: number, flags: number): number {
    const { writeClaim } = this.#domain.p2m
    if (type !== MEM_IOREQ_SERVER) return -DM_ERRNO.EINVAL
    if (flags !== 0) {
      writeClaim.claim(server)
      return 0
    }
    if (writeClaim.server !== server) return -DM_ERRNO.EINVAL
    writeClaim.end(server)
    for (let from = 0; from >= 0;) from = writeClaim.sweep(from, SWEEP)
    return 0
  }

  /** Moves RAM, frame by frame; what is at the new place leaves the guest. */
  relocate(from: number, to: number, count: number): number {
    const { p2m } = this.#domain
    if (count > 0 && (!inMap(from, count) || !inMap(to, count))) return -DM_ERRNO.EINVAL
    for (let i = 0; i < count; i++) {
      const type = p2m.lookup(from + i, this.#entry)
      const { mfn } = this.#entry
      if (!isRam(type) || mfn < 0) return -DM_ERRNO.EINVAL
      if (from === to) continue
      p2m.insert(to + i, mfn, 0, type === P2mType.RAM_RO ? type : P2mType.RAM_RW)
      p2m.remove(from + i, mfn, 1)
    }
    return 0
  }
}

function inMap(gfn: number, count: number): boolean {
  return Number.isSafeInteger(gfn) && gfn >= 0 && gfn + count <= MAX_GFN
}
