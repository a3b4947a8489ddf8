import { TWO_32 } from '@retrap/basics'
import {
  createIoRequest,
  type IoDispatch,
  type IoreqServer,
  IOREQ_READ,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  IOREQ_WRITE,
} from '@retrap/ioreq'
import { STATUS_DONE, STATUS_ERROR, STATUS_RETRY, STATUS_UNHANDLED } from '@retrap/replay'
import type { RepeatRequest, Words } from '@retrap/x86-cpu'
import type { Domain } from '../domain.ts'

/** The request that a vCPU has in flight: it has at most one. */
export class VcpuRequest {
  /** The request has not been answered. */
  inFlight: boolean = false
  readonly #vcpu: number
  readonly #cpu: { stop(): void }
  readonly #dispatch: IoDispatch
  readonly #secondLevel: Domain['secondLevel']
  readonly #request = createIoRequest()

  constructor(vcpu: number, cpu: { stop(): void }, domain: Domain) {
    this.#vcpu = vcpu
    this.#cpu = cpu
    this.#dispatch = domain.dispatch
    this.#secondLevel = domain.secondLevel
  }

  /**
   * Takes the answer, if it is there. It belongs to the present access, whatever the p2m says of the address by now: the log
   * has seen to it that the access is the same.
   */
  answer(into: Words | null): number {
    const dispatch = this.#dispatch
    const status = dispatch.requests.take(this.#vcpu)
    if (status === STATUS_RETRY) return status
    this.inFlight = false
    if (into !== null) {
      into.lo = dispatch.lo
      into.hi = dispatch.hi
    }
    return status === STATUS_DONE ? status : this.waitOrStop(status)
  }

  /** Sends the request for one store, which a server may have claimed. @returns a status of the dispatcher */
  store(gpa: number, size: number, lo: number, hi: number): number {
    const claimant = this.#secondLevel.claimant(gpa)
    if (claimant === null) return this.#dispatch.submitOne(this.#vcpu, IOREQ_TYPE_COPY, IOREQ_WRITE, gpa, size, lo, hi)
    const request = this.#request
    request.type = IOREQ_TYPE_COPY
    request.direction = IOREQ_WRITE
    request.dataLo = lo >>> 0
    request.dataHi = hi >>> 0
    request.count = 1
    request.df = false
    request.dataIsPointer = false
    return this.#send(gpa, size, claimant)
  }

  /** Sends a request for several elements. @returns a status of the processor */
  repeat({ port, write, address, size, count, down, gpa, lo, hi }: RepeatRequest): number {
    const request = this.#request
    const fill = gpa < 0
    request.type = port ? IOREQ_TYPE_PIO : IOREQ_TYPE_COPY
    request.direction = write ? IOREQ_WRITE : IOREQ_READ
    request.dataLo = (fill ? lo : gpa) >>> 0
    request.dataHi = fill ? hi >>> 0 : Math.floor(gpa / TWO_32)
    request.count = count
    request.df = down
    request.dataIsPointer = !fill
    const claimant = !port && write ? this.#secondLevel.claimant(address) : null
    return this.waitOrStop(this.#send(address, size, claimant))
  }

  #send(address: number, size: number, claimant: IoreqServer | null): number {
    const request = this.#request
    request.addressLo = address >>> 0
    request.addressHi = Math.floor(address / TWO_32)
    request.size = size
    return this.#dispatch.submit(this.#vcpu, request, claimant)
  }

  /**
   * Goes on after an access that has not simply been made: a request in flight is waited for, and after a model's failure
   * the CPU stops.
   *
   * @param status - of the dispatcher
   * @returns that of the processor, for which an access that nobody answers is made: it reads as ones
   */
  waitOrStop(status: number): number {
    if (status === STATUS_RETRY) this.inFlight = true
    // The device broke its contract and the domain is to stop; until it does, the access reads as ones.
    if (status === STATUS_ERROR) this.#cpu.stop()
    return status === STATUS_UNHANDLED || status === STATUS_ERROR ? STATUS_DONE : status
  }

  /** Forgets the request: its answer will be drained and dropped. */
  cancel(): void {
    if (!this.inFlight) return
    this.#dispatch.requests.cancel(this.#vcpu)
    this.inFlight = false
  }
}
