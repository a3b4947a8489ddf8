import type { WatchKind } from './debug-points.ts'
import { linearAddress } from './tlb-layout.ts'

/** Places besides linear addresses that an instruction reaches: I/O ports, device memory by guest-physical address, and MSRs. */
export type PlaceKind = 'port' | 'mmio' | 'msr'

/** Consecutive places at which a debugger stops a processor. */
export interface DebugPlace {
  /** Ports, device memory or MSRs. */
  readonly kind: PlaceKind
  /** The first port, byte or MSR. */
  readonly address: number
  /** Number of ports, bytes or MSRs. */
  readonly count: number
  /** The accesses that count. */
  readonly access: WatchKind
}

/** An access to a watched place. */
export interface PlaceAccess {
  /** A port, device memory or an MSR. */
  readonly kind: PlaceKind
  /** Address of the access's first byte. */
  readonly address: number
  /** Size in bytes; of one element, where there are several. */
  readonly size: number
  /** Number of elements of a string instruction, which a device has taken as one request; otherwise 1. */
  readonly elements: number
  /** Whether the guest has written; else it has read. */
  readonly write: boolean
  /** The data; undefined for several elements. */
  readonly value: bigint | undefined
}

/** An exception whose handler is next. */
export interface DeliveredException {
  /** The vector. */
  readonly vector: number
  /** The error code; 0 where it has none. */
  readonly errorCode: number
  /** Faulting address of a page fault. */
  readonly address: bigint
}

const covers = (place: DebugPlace, kind: PlaceKind, address: number, size: number): boolean =>
  place.kind === kind && address < place.address + place.count && address + size > place.address

const counts = (kind: WatchKind, write: boolean): boolean => kind === 'access' || (kind === 'write') === write

/**
 * A debugger's stops of one processor that are no linear addresses. An instruction that reaches such a place is executed alone, in
 * logged passes; each pass notes its accesses, and the first that counts is kept until the instruction has retired.
 */
export class DebugPlaces {
  #places: DebugPlace[] = []
  readonly #vectors = new Set<number>()
  #access: PlaceAccess | null = null
  #exception: DeliveredException | null = null
  /** Whether any place is a port. */
  ports = false
  /** Whether any place is device memory. */
  mmio = false
  /** Whether any place is an MSR. */
  msrs = false
  /** Whether the processor stops before the handler of any exception. */
  exceptions = false

  /** Adds places. */
  add(place: DebugPlace): void {
    this.#places.push(place)
    this.#refresh()
  }

  /** Removes equal places. @returns whether there were any */
  remove({ kind, address, count, access }: DebugPlace): boolean {
    const at = this.#places.findIndex(
      (one) => one.kind === kind && one.address === address && one.count === count && one.access === access,
    )
    if (at >= 0) this.#places.splice(at, 1)
    this.#refresh()
    return at >= 0
  }

  /** Adds an exception before whose handler the processor stops, or takes it away. */
  setException(vector: number, stops: boolean): void {
    if (stops) this.#vectors.add(vector)
    else this.#vectors.delete(vector)
    this.exceptions = this.#vectors.size > 0
  }

  #refresh(): void {
    const has = (kind: PlaceKind): boolean => this.#places.some((place) => place.kind === kind)
    this.ports = has('port')
    this.mmio = has('mmio')
    this.msrs = has('msr')
  }

  /** Whether an access meets a place of either direction. */
  matches(kind: PlaceKind, address: number, size: number): boolean {
    return this.#places.some((place) => covers(place, kind, address, size))
  }

  /** Notes an access that has been made. */
  note(kind: PlaceKind, address: number, size: number, write: boolean, lo: number, hi: number): void {
    if (this.#isNew(kind, address, kind === 'msr' ? 1 : size, write))
      this.#access = { kind, address, size, elements: 1, write, value: BigInt.asUintN(8 * size, linearAddress(lo, hi)) }
  }

  /** Notes several elements that a device has taken as one request. @param size - bytes of each */
  noteElements(kind: PlaceKind, address: number, size: number, elements: number, write: boolean): void {
    if (this.#isNew(kind, address, kind === 'port' ? size : size * elements, write))
      this.#access = { kind, address, size, elements, write, value: undefined }
  }

  #isNew(kind: PlaceKind, address: number, size: number, write: boolean): boolean {
    if (this.#access !== null) return false
    return this.#places.some((place) => counts(place.access, write) && covers(place, kind, address, size))
  }

  /** Notes an exception whose delivery begins; one that this delivery meets takes its place. */
  noteException(exception: DeliveredException | null): void {
    this.#exception = exception !== null && this.#vectors.has(exception.vector) ? exception : null
  }

  /** Returns the kept access, if any, and drops it. */
  takeAccess(): PlaceAccess | null {
    const access = this.#access
    this.#access = null
    return access
  }

  /** Returns the kept exception, if any, and drops it. */
  takeException(): DeliveredException | null {
    const exception = this.#exception
    this.#exception = null
    return exception
  }

  /** Removes all places. */
  clear(): void {
    this.#places = []
    this.#vectors.clear()
    this.#access = null
    this.#exception = null
    this.exceptions = false
    this.#refresh()
  }
}
