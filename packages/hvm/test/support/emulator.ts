import { createIoRequest, IOREQ_TYPE_INVALIDATE, type IoRequest, type IoreqServer } from '@retrap/ioreq'
import type { Domain } from '../../src/index.ts'

/** A device emulator that knows the ABI and nothing else, and answers when the test says so. */
export class Emulator {
  readonly server: IoreqServer
  /** Requests taken and not answered, by vCPU. */
  readonly open = new Map<number, IoRequest>()
  /** Types of all requests, in order, with their vCPU. */
  readonly seen: string[] = []
  /** It answers notices as they come. */
  prompt = false

  constructor(domain: Pick<Domain, 'dispatch'>, name = 'emulator', enabled = true) {
    this.server = domain.dispatch.createServer({ name, transport: { notify: (vcpu) => this.#take(vcpu) } })
    if (enabled) this.server.setState(true)
  }

  #take(vcpu: number): void {
    const request = createIoRequest()
    if (!this.server.slot(vcpu).accept(request)) throw new Error(`no request of vCPU ${vcpu}`)
    if (this.open.has(vcpu)) throw new Error(`vCPU ${vcpu} has two requests`)
    this.open.set(vcpu, request)
    this.seen.push(`${request.type === IOREQ_TYPE_INVALIDATE ? 'invalidate' : 'access'} ${vcpu}`)
    if (this.prompt && request.type === IOREQ_TYPE_INVALIDATE) this.answer(vcpu)
  }

  /** Whether a vCPU's notice waits for its acknowledgement. */
  asked(vcpu: number): boolean {
    return this.open.get(vcpu)?.type === IOREQ_TYPE_INVALIDATE
  }

  answer(vcpu: number, value = 0): void {
    if (!this.open.delete(vcpu)) throw new Error(`vCPU ${vcpu} has asked nothing`)
    this.server.slot(vcpu).answer(value, 0)
    this.server.answered(vcpu)
  }
}

/** Lets a domain run until it has nothing to do but wait. */
export async function ticks(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}
