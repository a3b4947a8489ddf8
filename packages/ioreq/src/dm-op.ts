import type { IoDispatch } from './dispatch.ts'
import { IoreqError, type IoreqErrorCode } from './errors.ts'
import { HVM_IOREQSRV_BUFIOREQ_ATOMIC, MAX_NR_IOREQ_SERVERS, XEN_DMOP_IO_RANGE_PCI } from './layout.ts'
import type { IoreqServer, IoreqTransport } from './server.ts'

/*
 * The hypercall by which a device model manages its servers and reaches a domain's interrupts and memory, as bytes:
 * Xen's public header hvm/dm_op.h. A buffer has the operation (u32), padding (u32) and the operation's structure.
 */
const HEADER_BYTES = 8

type FieldType = 'u8' | 'u16' | 'u32' | 'u64'
type Fields = Readonly<Record<string, readonly [offset: number, type: FieldType]>>

interface Operation {
  readonly name: keyof DmPlatform | 'create' | 'info' | 'map' | 'unmap' | 'state' | 'destroy' | 'vcpus'
  /** Bytes of the structure. */
  readonly size: number
  readonly fields: Fields
  /** Bytes that must be zero. */
  readonly pads: readonly number[]
}

const RANGE_FIELDS: Fields = { id: [0, 'u16'], type: [4, 'u32'], start: [8, 'u64'], end: [16, 'u64'] }

/** Offsets are within the structure. */
const OPERATIONS: Readonly<Record<number, Operation>> = {
  1: { name: 'create', size: 6, fields: { bufferedMode: [0, 'u8'] }, pads: [1, 2, 3] },
  2: { name: 'info', size: 24, fields: { id: [0, 'u16'], flags: [2, 'u16'] }, pads: [] },
  3: { name: 'map', size: 24, fields: RANGE_FIELDS, pads: [2, 3] },
  4: { name: 'unmap', size: 24, fields: RANGE_FIELDS, pads: [2, 3] },
  5: { name: 'state', size: 4, fields: { id: [0, 'u16'], enabled: [2, 'u8'] }, pads: [3] },
  6: { name: 'destroy', size: 4, fields: { id: [0, 'u16'] }, pads: [2, 3] },
  7: { name: 'trackDirtyVram', size: 16, fields: { count: [0, 'u32'], firstFrame: [8, 'u64'] }, pads: [4, 5, 6, 7] },
  8: {
    name: 'setPciIntx',
    size: 6,
    fields: { domain: [0, 'u16'], bus: [2, 'u8'], device: [3, 'u8'], intx: [4, 'u8'], level: [5, 'u8'] },
    pads: [],
  },
  9: { name: 'setIsaIrq', size: 2, fields: { irq: [0, 'u8'], level: [1, 'u8'] }, pads: [] },
  10: { name: 'setPciLink', size: 2, fields: { link: [0, 'u8'], irq: [1, 'u8'] }, pads: [] },
  11: { name: 'modifiedMemory', size: 8, fields: { extents: [0, 'u32'], done: [4, 'u32'] }, pads: [] },
  12: {
    name: 'setMemType',
    size: 16,
    fields: { count: [0, 'u32'], type: [4, 'u16'], firstFrame: [8, 'u64'] },
    pads: [6, 7],
  },
  13: {
    name: 'injectEvent',
    size: 24,
    fields: {
      vcpu: [0, 'u32'],
      vector: [4, 'u8'],
      type: [5, 'u8'],
      instructionBytes: [6, 'u8'],
      errorCode: [8, 'u32'],
      cr2: [16, 'u64'],
    },
    pads: [7, 12, 13, 14, 15],
  },
  14: { name: 'injectMsi', size: 16, fields: { data: [0, 'u32'], address: [8, 'u64'] }, pads: [4, 5, 6, 7] },
  15: {
    name: 'mapMemType',
    size: 16,
    fields: { id: [0, 'u16'], type: [2, 'u16'], flags: [4, 'u32'], done: [8, 'u64'] },
    pads: [],
  },
  16: { name: 'remoteShutdown', size: 4, fields: { reason: [0, 'u32'] }, pads: [] },
  17: {
    name: 'relocateMemory',
    size: 24,
    fields: { count: [0, 'u32'], from: [8, 'u64'], to: [16, 'u64'] },
    pads: [4, 5, 6, 7],
  },
  18: {
    name: 'pinCacheAttributes',
    size: 24,
    fields: { start: [0, 'u64'], end: [8, 'u64'], type: [16, 'u32'] },
    pads: [20, 21, 22, 23],
  },
  19: { name: 'setIrqLevel', size: 8, fields: { irq: [0, 'u32'], level: [4, 'u8'] }, pads: [5, 6, 7] },
  20: { name: 'vcpus', size: 4, fields: {}, pads: [] },
}

/** The fields of an operation's structure. 64-bit ones above 2^53 are not exact, and refused where it matters. */
export type DmOpFields = Readonly<Record<string, number>>

/** An operation that is not this package's to do. Returns 0 or a negative errno. @param bulk - buffer 1 */
export type DmOpHandler = (fields: DmOpFields, bulk: Uint8Array) => number

/** A domain's part of the operations that have nothing to do with servers. An absent operation is −EOPNOTSUPP. */
export interface DmPlatform {
  /** `XEN_DMOP_track_dirty_vram`. */
  readonly trackDirtyVram?: DmOpHandler
  /** `XEN_DMOP_set_pci_intx_level`. */
  readonly setPciIntx?: DmOpHandler
  /** `XEN_DMOP_set_isa_irq_level`. */
  readonly setIsaIrq?: DmOpHandler
  /** `XEN_DMOP_set_pci_link_route`. */
  readonly setPciLink?: DmOpHandler
  /** `XEN_DMOP_modified_memory`. */
  readonly modifiedMemory?: DmOpHandler
  /** `XEN_DMOP_set_mem_type`. */
  readonly setMemType?: DmOpHandler
  /** `XEN_DMOP_inject_event`. */
  readonly injectEvent?: DmOpHandler
  /** `XEN_DMOP_inject_msi`; the field `requester` is the emulator's first PCI function, or 0. */
  readonly injectMsi?: DmOpHandler
  /** `XEN_DMOP_map_mem_type_to_ioreq_server`. */
  readonly mapMemType?: DmOpHandler
  /** `XEN_DMOP_remote_shutdown`. */
  readonly remoteShutdown?: DmOpHandler
  /** `XEN_DMOP_relocate_memory`. */
  readonly relocateMemory?: DmOpHandler
  /** `XEN_DMOP_pin_memory_cacheattr`. */
  readonly pinCacheAttributes?: DmOpHandler
  /** `XEN_DMOP_set_irq_level`. */
  readonly setIrqLevel?: DmOpHandler
}

/** Error numbers of Xen's public header errno.h that operations return, negative. */
export const DM_ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ENOSPC: 28,
  EPROTO: 71,
  EOPNOTSUPP: 95,
} as const

const ERRNO_BY_CODE: Readonly<Record<IoreqErrorCode, number>> = {
  ERR_INVALID: DM_ERRNO.EINVAL,
  ERR_EXISTS: DM_ERRNO.EEXIST,
  ERR_NOT_FOUND: DM_ERRNO.ENOENT,
  ERR_PERMISSION: DM_ERRNO.EPERM,
  ERR_NO_SPACE: DM_ERRNO.ENOSPC,
  ERR_BUSY: DM_ERRNO.EBUSY,
  ERR_DEVICE: DM_ERRNO.EIO,
  ERR_PROTOCOL: DM_ERRNO.EPROTO,
}

/** `flags` of get_info: the caller maps the pages as resources and wants no legacy frame numbers. */
const INFO_NO_GFNS = 1
/** Most frames that track_dirty_vram takes: 1 GiB. */
const MOST_VRAM_FRAMES = 1 << 18

/** The values that each field may have; −EINVAL otherwise. Source: Xen's public header hvm/dm_op.h. */
const LIMITS: Readonly<Partial<Record<Operation['name'], (f: DmOpFields) => boolean>>> = {
  create: (f) => f['bufferedMode']! <= HVM_IOREQSRV_BUFIOREQ_ATOMIC,
  info: (f) => (f['flags']! & ~INFO_NO_GFNS) === 0,
  state: (f) => f['enabled']! <= 1,
  trackDirtyVram: (f) => f['count']! <= MOST_VRAM_FRAMES,
  setPciIntx: (f) => f['domain'] === 0 && f['bus'] === 0 && f['device']! <= 31 && f['intx']! <= 3 && f['level']! <= 1,
  setIsaIrq: (f) => f['irq']! <= 15 && f['level']! <= 1,
  setPciLink: (f) => f['link']! <= 3 && f['irq']! <= 15,
  injectEvent: (f) => f['type'] === 0 || (f['type']! >= 2 && f['type']! <= 6),
  // Only write accesses can be claimed.
  mapMemType: (f) => (f['flags']! & ~2) === 0,
  setIrqLevel: (f) => f['level']! <= 1,
}

/**
 * The operations of one emulator on one domain. Servers that it has not made are not its own.
 */
export class DmOps {
  readonly #dispatch: IoDispatch
  readonly #transport: IoreqTransport
  readonly #name: string
  readonly #platform: DmPlatform
  readonly #own = new Set<IoreqServer>()

  /**
   * @param transport - how the servers that it creates are reached
   * @param name - names them
   */
  constructor(dispatch: IoDispatch, transport: IoreqTransport, name: string, platform: DmPlatform = {}) {
    this.#dispatch = dispatch
    this.#transport = transport
    this.#name = name
    this.#platform = platform
  }

  /**
   * Executes one operation; what it returns in its structure is written into `buffer`.
   *
   * @param buffer - buffer 0: operation, padding, structure
   * @param bulk - buffer 1, for the operations that have one
   * @returns 0, or a negative errno (see {@link DM_ERRNO})
   */
  execute(buffer: Uint8Array, bulk: Uint8Array = new Uint8Array(0)): number {
    if (buffer.length < HEADER_BYTES) return -DM_ERRNO.EFAULT
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
    const operation = OPERATIONS[view.getUint32(0, true)]
    if (operation === undefined) return -DM_ERRNO.EOPNOTSUPP
    if (buffer.length < HEADER_BYTES + operation.size) return -DM_ERRNO.EFAULT
    if (view.getUint32(4, true) !== 0) return -DM_ERRNO.EINVAL
    for (const pad of operation.pads) if (buffer[HEADER_BYTES + pad] !== 0) return -DM_ERRNO.EINVAL
    const fields: Record<string, number> = {}
    for (const [name, [offset, type]] of Object.entries(operation.fields)) {
      fields[name] = readField(view, HEADER_BYTES + offset, type)
    }
    if (LIMITS[operation.name]?.(fields) === false) return -DM_ERRNO.EINVAL
    try {
      return this.#execute(operation, fields, view, bulk)
    } catch (error) {
      if (error instanceof IoreqError) return -ERRNO_BY_CODE[error.code]
      throw error
    }
  }

  #execute({ name }: Operation, fields: DmOpFields, view: DataView, bulk: Uint8Array): number {
    switch (name) {
      case 'create': {
        const bufferedMode = fields['bufferedMode']!
        const server = this.#dispatch.createServer({ name: this.#name, transport: this.#transport, bufferedMode })
        this.#own.add(server)
        view.setUint16(HEADER_BYTES + 4, server.id, true)
        return 0
      }
      case 'info': {
        const server = this.#server(fields)
        // Frames of the guest's own map are the legacy way; pages are handed over as resources here.
        if ((fields['flags']! & INFO_NO_GFNS) === 0) return -DM_ERRNO.EOPNOTSUPP
        view.setUint32(HEADER_BYTES + 4, server.ring === null ? 0 : this.#dispatch.vcpus + 1, true)
        return 0
      }
      case 'map':
        this.#server(fields).mapRange(fields['type']!, fields['start']!, fields['end']!)
        return 0
      case 'unmap':
        this.#server(fields).unmapRange(fields['type']!, fields['start']!, fields['end']!)
        return 0
      case 'state':
        this.#server(fields).setState(fields['enabled'] === 1)
        return 0
      case 'destroy': {
        const server = this.#server(fields)
        server.destroy()
        this.#own.delete(server)
        return 0
      }
      case 'vcpus':
        view.setUint32(HEADER_BYTES, this.#dispatch.vcpus, true)
        return 0
      case 'injectMsi':
        // The operation has no requester: the emulator's function stands for it.
        return this.#platform[name]?.({ ...fields, requester: this.#requester() }, bulk) ?? -DM_ERRNO.EOPNOTSUPP
      case 'mapMemType':
        // The claim is one of the caller's own servers.
        this.#server(fields)
        return this.#platform[name]?.(fields, bulk) ?? -DM_ERRNO.EOPNOTSUPP
      default:
        return this.#platform[name]?.(fields, bulk) ?? -DM_ERRNO.EOPNOTSUPP
    }
  }

  /** The first PCI function of the emulator's servers, without its segment; 0 without one. */
  #requester(): number {
    for (const server of this.#own) {
      const functions = server.ranges[XEN_DMOP_IO_RANGE_PCI]
      if (functions.count > 0) return functions.start(0) & 0xffff
    }
    return 0
  }

  /** The caller's server of an id. */
  #server(fields: DmOpFields): IoreqServer {
    const id = fields['id']!
    const server = id < MAX_NR_IOREQ_SERVERS ? this.#dispatch.server(id) : null
    if (server === null) throw new IoreqError('ERR_NOT_FOUND', `there is no ioreq server ${id}`)
    if (!this.#own.has(server)) throw new IoreqError('ERR_PERMISSION', `ioreq server ${id} is another emulator's`)
    return server
  }
}

function readField(view: DataView, at: number, type: FieldType): number {
  if (type === 'u8') return view.getUint8(at)
  if (type === 'u16') return view.getUint16(at, true)
  if (type === 'u32') return view.getUint32(at, true)
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
}
