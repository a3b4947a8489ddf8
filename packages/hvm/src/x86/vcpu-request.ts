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
import type { RepeatRequest } from '@retrap/x86-cpu'

/** Describes the requests of a vCPU that are more than one access of a device's range. */
export class VcpuRequest {
  readonly #vcpu: number
  readonly #dispatch: IoDispatch
  readonly #request = createIoRequest()

  constructor(vcpu: number, dispatch: IoDispatch) {
    this.#vcpu = vcpu
    this.#dispatch = dispatch
  }

  /** Sends the request for one store to RAM, which a server has claimed. @returns a status of the dispatcher */
  store(gpa: number, size: number, lo: number, hi: number, claimant: IoreqServer): number {
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

  /** Sends a request for several elements. @returns a status of the dispatcher */
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
    return this.#send(address, size, null)
  }

  #send(address: number, size: number, claimant: IoreqServer | null): number {
    const request = this.#request
    request.addressLo = address >>> 0
    request.addressHi = Math.floor(address / TWO_32)
    request.size = size
    return this.#dispatch.submit(this.#vcpu, request, claimant)
  }
}
