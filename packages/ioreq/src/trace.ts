import { describeRequest } from './failures.ts'
import { IOREQ_READ } from './layout.ts'
import type { IoRequest } from './request.ts'

/**
 * The outcome of an access.
 *
 * | event | meaning |
 * |---|---|
 * | `done` | answered at once, without the request page |
 * | `unhandled` | nobody answers there |
 * | `sent` | published in the vCPU's slot |
 * | `buffered` | put into the server's ring; nobody waits |
 * | `answered` | the server's answer has arrived |
 * | `ended` | the wait ended without an answer: the server is gone, or failed |
 * | `cancelled` | the vCPU no longer wants the answer |
 * | `drained` | the answer to a cancelled request arrived, and was dropped |
 */
export type IoTraceEvent = 'done' | 'unhandled' | 'sent' | 'buffered' | 'answered' | 'ended' | 'cancelled' | 'drained'

/** One line of a request trace. The fields of `request` are the sender's and change after the call. */
export interface IoTraceRecord {
  /** The event of the access. */
  readonly event: IoTraceEvent
  /** −1 where it is not known: an access that was made without the request page. */
  readonly vcpu: number
  /** The server's name; `hypervisor` for its own handlers, '' for nobody. */
  readonly server: string
  /** The model's name, where it is known: not of functions of PCI configuration space in other processes; '' for nobody. */
  readonly device: string
  /** The access. */
  readonly request: Readonly<IoRequest>
  /** Data written, or the answer to a read; of no meaning for a read that has none yet. */
  readonly lo: number
  /** Bits 63:32 of the value. */
  readonly hi: number
}

/** A trace record as a line, such as `vcpu 0 devices answered: port read of 1 bytes at 0x3fd = 0x60`. */
export function formatTrace(record: IoTraceRecord): string {
  const { event, vcpu, server, request, lo, hi } = record
  const what = describeRequest(request)
  const many = request.count === 1 ? '' : ` × ${request.count}${request.df ? ' down' : ''}`
  const read = request.direction === IOREQ_READ
  const known = !read || event === 'done' || event === 'answered' || event === 'unhandled' || event === 'ended'
  const value = known ? ` ${read ? '=' : '←'} ${word(lo, hi, request.size, request.dataIsPointer)}` : ''
  return `${vcpu < 0 ? '' : `vcpu ${vcpu} `}${server === '' ? 'nobody' : server} ${event}: ${what}${many}${value}`
}

function word(lo: number, hi: number, size: number, pointer: boolean): string {
  if (pointer) return `[0x${(hi * 2 ** 32 + lo).toString(16)}]`
  return size === 8 ? `0x${hi.toString(16)}_${lo.toString(16).padStart(8, '0')}` : `0x${lo.toString(16)}`
}
