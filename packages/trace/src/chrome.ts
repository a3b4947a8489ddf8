import { IOREQ_READ, IOREQ_TYPE_INVALIDATE } from '@retrap/ioreq'
import type { AccessRecord, TraceRecord } from './record.ts'
import { accessText, describeRecord, exceptionName, instructionText } from './text.ts'

/** An event of the format. Source: "Trace Event Format", sections "Complete", "Instant", "Flow" and "Metadata Events". */
interface ChromeEvent {
  readonly name: string
  readonly ph: 'X' | 'i' | 's' | 'f' | 'M'
  readonly pid: number
  readonly tid: number
  readonly ts?: number
  readonly dur?: number
  readonly cat?: string
  readonly id?: number
  readonly bp?: 'e'
  readonly s?: 't'
  readonly args?: Readonly<Record<string, unknown>>
}

/** The vCPUs, as threads of a process. */
const GUEST = 1
/** Process number of the devices, which are its threads. */
const DEVICES = 2
/** The thread of records without a known vCPU. */
const NO_VCPU = 1_000_000

/** A request that a vCPU waits for. */
interface Waiting {
  readonly record: AccessRecord
  readonly ts: number
}

/**
 * Writes a trace in Chrome's format, for `chrome://tracing`, Perfetto and the Performance panel of DevTools.
 *
 * Each vCPU is a thread. The time in which it waits for a device is a span of the thread, and another one, with an arrow
 * to it, is on the thread of the device. Times are the host's, in microseconds from the first record. A file that ends
 * early can be read: the format does not need its end.
 */
export class ChromeTrace {
  readonly #write: (text: string) => void
  readonly #threads = new Map<string, number>()
  readonly #waiting = new Map<number, Waiting>()
  #origin: number | undefined
  #last = 0
  #flows = 0
  #begun = false

  /** @param write - takes the text, piece by piece */
  constructor(write: (text: string) => void) {
    this.#write = write
  }

  /** Adds a record. */
  add(record: TraceRecord): void {
    const begins = (record.kind === 'ioreq' && record.waitedMs) || 0
    this.#origin ??= record.hostMs - begins
    const ts = this.#micros(record.hostMs)
    this.#last = Math.max(this.#last, ts)
    if (record.kind === 'ioreq') return this.#access(record, ts)
    const { ns, instructions } = record
    const base = { cat: record.kind, pid: GUEST, tid: this.#vcpu(record.vcpu), ts }
    const args = { virtualNs: ns, instructions, what: describeRecord(record) }
    switch (record.kind) {
      case 'insn':
        return this.#put({ name: instructionText(record), ph: 'i', s: 't', ...base, args })
      case 'block':
        return this.#put({
          name: `block ${record.address.toString(16)}`,
          ph: 'X',
          dur: this.#micros(record.endMs) - ts,
          ...base,
          args,
        })
      case 'irq':
        return this.#put({ name: record.source, ph: 'i', s: 't', ...base, args })
      case 'exceptions':
        return this.#put({ name: exceptionName(record), ph: 'i', s: 't', ...base, args })
      default: {
        const name = record.gpa === undefined ? 'page walk faults' : 'page walk'
        return this.#put({ name, ph: 'i', s: 't', ...base, args })
      }
    }
  }

  /** Ends the file. Requests that are not answered yet last until now. */
  end(): void {
    for (const vcpu of [...this.#waiting.keys()]) this.#waited(vcpu, this.#last, 'no answer yet')
    this.#write(this.#begun ? '\n]\n' : '[]\n')
  }

  #access(record: AccessRecord, ts: number): void {
    const { event } = record.access
    const { vcpu } = record
    if (event === 'sent') {
      this.#waiting.set(vcpu, { record, ts })
      return
    }
    if ((event === 'answered' || event === 'ended' || event === 'cancelled') && this.#waiting.has(vcpu))
      return this.#waited(vcpu, ts, accessText(record))
    const args = { what: accessText(record), virtualNs: record.ns, instructions: record.instructions }
    const tid = this.#vcpu(vcpu)
    this.#put({ name: nameOf(record), ph: 'i', s: 't', cat: 'ioreq', pid: GUEST, tid, ts, args })
  }

  /** Ends a vCPU's wait for a response. */
  #waited(vcpu: number, now: number, end: string): void {
    const { record, ts } = this.#waiting.get(vcpu)!
    this.#waiting.delete(vcpu)
    const { device } = record.access
    const tid = this.#vcpu(vcpu)
    // A device may serve several vCPUs at a time.
    const far = this.#thread(DEVICES, vcpu <= 0 ? device : `${device}, for vCPU ${vcpu}`)
    const dur = now - ts
    const args = { what: accessText(record), end, virtualNs: record.ns, instructions: record.instructions }
    const shared = { cat: 'ioreq', ts, dur, args }
    this.#put({ name: `waits for ${nameOf(record)}`, ph: 'X', pid: GUEST, tid, ...shared })
    this.#put({ name: nameOf(record), ph: 'X', pid: DEVICES, tid: far, ...shared })
    const id = ++this.#flows
    this.#put({ name: 'request', ph: 's', cat: 'ioreq', id, pid: GUEST, tid, ts })
    this.#put({ name: 'request', ph: 'f', bp: 'e', cat: 'ioreq', id, pid: DEVICES, tid: far, ts })
  }

  #vcpu(vcpu: number): number {
    if (vcpu < 0) return this.#thread(GUEST, 'no vCPU', NO_VCPU)
    return this.#thread(GUEST, `vCPU ${vcpu}`, vcpu + 1)
  }

  /** Returns a thread's number, and names the thread on first use. */
  #thread(pid: number, name: string, wanted?: number): number {
    const key = `${pid} ${name}`
    let tid = this.#threads.get(key)
    if (tid !== undefined) return tid
    const first = ![...this.#threads.keys()].some((other) => other.startsWith(`${pid} `))
    tid = wanted ?? this.#threads.size + 1
    this.#threads.set(key, tid)
    if (first) {
      this.#put({ name: 'process_name', ph: 'M', pid, tid, args: { name: pid === GUEST ? 'guest' : 'devices' } })
    }
    this.#put({ name: 'thread_name', ph: 'M', pid, tid, args: { name } })
    return tid
  }

  #micros(ms: number): number {
    return Math.round((ms - (this.#origin ?? ms)) * 1e6) / 1e3
  }

  #put(event: ChromeEvent): void {
    this.#write(`${this.#begun ? ',\n' : '[\n'}${JSON.stringify(event)}`)
    this.#begun = true
  }
}

/** `price: read of 4 at 0xfed90000`. */
function nameOf({ access: { device, request } }: AccessRecord): string {
  if (request.type === IOREQ_TYPE_INVALIDATE) return `${device}: drop mappings`
  const address = request.addressHi * 2 ** 32 + (request.addressLo >>> 0)
  const what = request.direction === IOREQ_READ ? 'read' : 'write'
  return `${device || 'nobody'}: ${what} of ${request.size} at 0x${address.toString(16)}`
}
