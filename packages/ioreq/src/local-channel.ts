import type { Answer, Channel, LocalModels, ReplyTarget, SentRequest } from './channel.ts'
import type { Claim } from './region.ts'
import type { RegionTable } from './region-table.ts'
import { STATE_IORESP_READY } from './layout.ts'
import type { IoreqServer } from './server.ts'

/** Hears what has become of requests to models of this process. */
export interface LocalAnswers {
  returned(server: IoreqServer, vcpu: number, lo: number, hi: number, mayRun: boolean): void
  serverFailed(server: IoreqServer, vcpu: number, device: string, error: unknown): void
}

/** Calls the models of this process, and takes their answers as they return them. */
export class LocalChannel implements Channel, ReplyTarget {
  readonly regions: RegionTable
  readonly functions: LocalModels['functions']
  readonly #requests: LocalModels['requests']
  readonly #server: IoreqServer
  readonly #answers: LocalAnswers

  constructor(server: IoreqServer, models: LocalModels, answers: LocalAnswers) {
    this.regions = models.regions
    this.functions = models.functions
    this.#requests = models.requests
    this.#server = server
    this.#answers = answers
  }

  claims(kind: 'port' | 'mmio'): Claim[] {
    return this.regions.claims(kind, this.#server)
  }

  wrongPlace(): null {
    return null
  }

  send(vcpu: number, sent: SentRequest): void {
    const { region, request } = sent
    if (region === null) this.#requests.serve(vcpu, request, this)
    else {
      const { size, direction, dataLo } = request
      this.#requests.begin(vcpu, this).call(region, sent.offset, size as 1 | 2 | 4, direction, dataLo)
    }
  }

  hasNoAnswerYet(_vcpu: number, { state }: SentRequest): boolean {
    return state !== STATE_IORESP_READY
  }

  isOver(_vcpu: number, { state }: SentRequest): boolean {
    return state === STATE_IORESP_READY
  }

  take(_vcpu: number, { request, lo, hi }: SentRequest, into: Answer): void {
    into.lo = lo
    into.hi = hi
    into.count = request.count
  }

  isOwed(_vcpu: number, { state }: SentRequest): boolean {
    return state !== STATE_IORESP_READY
  }

  answer(vcpu: number, lo: number, hi: number, last: boolean): void {
    this.#answers.returned(this.#server, vcpu, lo, hi, last)
  }

  reject(vcpu: number, device: string, error: unknown): void {
    this.#answers.serverFailed(this.#server, vcpu, device === '' ? this.#server.name : device, error)
  }
}
