export { IoreqError } from './errors.ts'
export { IoDispatch } from './dispatch.ts'
export type { EcamWindow } from './config-space.ts'
export type { IoDispatchOptions, IoDispatchState } from './dispatch-parts.ts'
export type { InvalidationListener } from './invalidations.ts'
export { DM_ERRNO, DmOps, type DmOpFields, type DmOpHandler, type DmPlatform } from './dm-op.ts'
export { formatTrace, type IoTraceEvent, type IoTraceRecord } from './trace.ts'
export { STATUS_RESTART, STATUS_DONE, STATUS_ERROR, STATUS_RETRY, STATUS_UNHANDLED } from './status.ts'
export type { DeviceFailure } from './failures.ts'
export type { VcpuRequests } from './pending.ts'
export { IoreqServer } from './server.ts'
export type { FailurePolicy, IoreqTransport, PageLocation, ServerOptions } from './server.ts'
export type { Channel, LocalModels, ReplyTarget } from './channel.ts'
export { PieceAccess } from './pieces.ts'
export { RegionTable } from './region-table.ts'
export { putBytes, wordAt } from './words.ts'
export { type Claim, ClaimedRegion, DEAD_HANDLER, type DeviceImpairment, type ShownMemory } from './region.ts'
export { AccessRecord, RECORD_WORDS } from './access-record.ts'
export { RangeSet } from './range-set.ts'
export { IoreqFields } from './ioreq-fields.ts'
export { IoreqPage, IoreqSlot, isWithServer } from './slot.ts'
export { BufferedRing } from './buffered-ring.ts'
export { copyIoRequest, createIoRequest, elementAddress, elementPointer, requestAddress } from './request.ts'
export type { InvalidationNotice, IoRequest } from './request.ts'
export {
  HVM_IOREQSRV_BUFIOREQ_ATOMIC,
  HVM_IOREQSRV_BUFIOREQ_LEGACY,
  IOREQ_BYTES,
  IOREQ_OFFSET,
  IOREQ_PAGE_BYTES,
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_INVALIDATE,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  IOREQ_TYPE_TIMEOFFSET,
  IOREQ_WRITE,
  pciAddressHi,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
  XEN_DMOP_IO_RANGE_MEMORY,
  XEN_DMOP_IO_RANGE_PCI,
  XEN_DMOP_IO_RANGE_PORT,
} from './layout.ts'
export { PortWindow } from './port-window.ts'
