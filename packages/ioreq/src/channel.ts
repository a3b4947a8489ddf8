import type { AccessRecord } from './access-record.ts'
import type { PciTree } from '@retrap/device/host'
import type { Claim, ClaimedRegion } from './region.ts'
import type { RegionTable } from './region-table.ts'
import type { IoRequest } from './request.ts'

/** Takes the answers of models. */
export interface ReplyTarget {
  /**
   * A model has answered.
   *
   * @param last - nothing follows in the caller: any party that is notified of it may go on at once
   */
  answer(vcpu: number, lo: number, hi: number, last: boolean): void
  /** A model cannot answer. @param device - its name; empty where that is not known */
  reject(vcpu: number, device: string, error: unknown): void
}

/** The models of this process: what lets an access bypass the request page. */
export interface LocalModels {
  /** Ranges. */
  readonly regions: RegionTable
  /** PCI functions. */
  readonly functions: Pick<PciTree, 'read' | 'write' | 'ownerAt'>
  /** Serves requests. A vCPU has at most one at a time; its answer comes at once or later. */
  readonly requests: {
    /**
     * @param request - the caller's, to be read before this returns
     * @param region - whose handler answers by one call, at `offset`, where that is known
     */
    serve(vcpu: number, request: IoRequest, replies: ReplyTarget, region?: ClaimedRegion | null, offset?: number): void
  }
}

/**
 * The way of requests to one server and of answers back: calls where its models are of this process, the request page
 * where they are not.
 */
export interface Channel {
  /** The ranges of models of this process; null where they are elsewhere. */
  readonly regions: RegionTable | null
  /** The PCI functions of models of this process; null where they are elsewhere. */
  readonly functions: LocalModels['functions'] | null
  /** The server's claims of a kind, in ascending precedence. */
  claims(kind: 'port' | 'mmio'): Claim[]
  /** Takes a request to the server. */
  send(vcpu: number, record: AccessRecord): void
  /**
   * Looks for the answer, and moves it into the record. Absent: the server calls back with it.
   *
   * @returns `STATUS_RETRY` while there is none; a status other than `STATUS_DONE` says why there never will be
   */
  look?(vcpu: number, record: AccessRecord): number
}
