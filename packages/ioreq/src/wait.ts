import { INVALIDATE_ALL, type InvalidationNotice, type IoRequest, requestAddress } from './request.ts'
import { AccessRecord } from './access-record.ts'
import {
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_READY,
} from './layout.ts'
import type { IoreqServer } from './server.ts'

/** In place of a vCPU: no vCPU waits for an answer, so nothing is sent. */
export const NOBODY = -1

/** The record of one vCPU, and what it waits for: an answer, or acknowledgements of an invalidation. */
export class Wait extends AccessRecord {
  /** The server that is to answer. */
  server: IoreqServer | null = null
  /** When the request was sent, on the host's clock in milliseconds; only kept where there is a deadline. */
  since = 0
  /** INVALIDATE requests that have not been acknowledged. */
  invalidations = 0
  /** The range that they are about. */
  notice: InvalidationNotice = INVALIDATE_ALL
  /** Counts the invalidations that there have been. */
  round = 0
}

/** The wait of a vCPU, for people. */
export interface WaitDescription {
  /** The server's name. */
  readonly server: string
  /** The model's name; the server's, where that is not known. */
  readonly device: string
  /** Such as `port read of 1 bytes at 0x3fd`. */
  readonly request: string
}

/** Whether an answer or an acknowledgement is still to come. */
export function isOpen(wait: Wait): boolean {
  return wait.progress === STATE_IOREQ_READY || wait.progress === STATE_IOREQ_INPROCESS
}

/** The model of a server that has a request, where that is known. */
export function deviceOf(server: IoreqServer, request: IoRequest): string | undefined {
  const { type } = request
  const kind = type === IOREQ_TYPE_PIO ? 'port' : type === IOREQ_TYPE_COPY ? 'mmio' : undefined
  return kind && server.transport.deviceAt?.(kind, requestAddress(request))
}

/** The model of a server that a traced request is for; the server's name where that is not known. */
export function tracedDevice(server: IoreqServer, request: IoRequest): string {
  const isConfig = request.type === IOREQ_TYPE_PCI_CONFIG
  const device = isConfig ? server.channel.functions?.ownerAt(request.addressHi) : deviceOf(server, request)
  return device ?? server.name
}
