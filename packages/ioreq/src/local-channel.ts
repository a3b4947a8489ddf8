import type { AccessRecord } from './access-record.ts'
import type { Channel, LocalModels, ReplyTarget } from './channel.ts'
import type { PendingRequests } from './pending.ts'
import type { Claim } from './region.ts'
import type { RegionTable } from './region-table.ts'
import type { IoreqServer } from './server.ts'

/** Calls the models of this process, and takes their answers as they return them. */
export class LocalChannel implements Channel, ReplyTarget {
  readonly regions: RegionTable
  readonly functions: LocalModels['functions']
  readonly #requests: LocalModels['requests']
  readonly #server: IoreqServer
  readonly #pending: PendingRequests

  constructor(server: IoreqServer, models: LocalModels, pending: PendingRequests) {
    this.regions = models.regions
    this.functions = models.functions
    this.#requests = models.requests
    this.#server = server
    this.#pending = pending
  }

  claims(kind: 'port' | 'mmio'): Claim[] {
    return this.regions.claims(kind, this.#server)
  }

  send(vcpu: number, record: AccessRecord): void {
    this.#requests.serve(vcpu, record, this, record.region, record.offset)
  }

  answer(vcpu: number, lo: number, hi: number, last: boolean): void {
    this.#pending.returned(this.#server, vcpu, lo, hi, last)
  }

  reject(vcpu: number, device: string, error: unknown): void {
    this.#pending.serverFailed(this.#server, vcpu, device === '' ? this.#server.name : device, error)
  }
}
