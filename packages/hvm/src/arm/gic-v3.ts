import { savedDeadline, type Timer, type Word64 } from '@retrap/device'
import { GicV3, gicV3StateBytes, ICC_HPPIR0_EL1, ICC_HPPIR1_EL1, Its, ITS_STATE_BYTES } from '@retrap/irqchip/gic'
import type { Domain } from '../domain.ts'
import {
  type AllocateRegion,
  type ArmInterruptController,
  type BankedRegisters,
  type ControllerWiring,
  SavedController,
} from './interrupt-controller.ts'

/** Special INTIDs, 1020 to 1023: no interrupt, or one that is not reported here. */
const INTID_FIRST_SPECIAL = 1020
const INTID_NONE = 1023

/** Addresses of a board's GICv3. */
export interface GicV3Place {
  /** Default. */
  readonly version?: 3
  /** Guest-physical address of the distributor, 64 KiB. */
  readonly distributor: number
  /** Guest-physical address of the redistributors, 128 KiB for each vCPU. */
  readonly redistributors: number
  /** Guest-physical address of the interrupt translation service, 128 KiB; absent: no service and no messages. */
  readonly its?: number
  /** Shared interrupts, 32–988. Default 256. */
  readonly spis?: number
}

/** Bytes of the translation service's frames; where the second has the register that messages are written to. */
const ITS_BYTES = 0x2_0000
const GITS_TRANSLATER = 0x1_0040

/** Virtual time between two slices of a long queue of commands: what else is due has its turn. */
const ITS_SLICE_NS = 100_000

/** A GICv3 of a domain, with its translation service. */
export class GicV3Controller extends SavedController implements ArmInterruptController {
  readonly systemRegisters: GicV3
  readonly banked: readonly BankedRegisters[] = []
  readonly wires: GicV3
  readonly #its: Its | undefined
  /** Timer until the translation service continues with its queue. */
  readonly #queueTimer: Timer
  /** The work for the end of the access. */
  #afterwards: (() => void)[] = []
  readonly #translater: number

  constructor(domain: Domain, place: GicV3Place, { cpus, signal, allocate }: ControllerWiring) {
    super()
    const { dispatch, memory } = domain
    const { buffer } = memory
    const hasIts = place.its !== undefined
    this.wires = new GicV3({
      cpus,
      ...(place.spis !== undefined && { spis: place.spis }),
      signal,
      ...(hasIts && { memory: domain.guestMemory }),
      state: { buffer, byteOffset: allocate(gicV3StateBytes(cpus, hasIts), 'interrupt controller') },
    })
    this.systemRegisters = this.wires
    this.#queueTimer = domain.timers.create(() => {
      for (const callback of this.#afterwards.splice(0)) callback()
    })
    this.#translater = place.its === undefined ? -1 : place.its + GITS_TRANSLATER
    this.#its = place.its === undefined ? undefined : this.#makeIts(domain, place.its, allocate)
    this.keeps(
      {
        version: 3,
        gic: this.chip(this.wires),
        its: this.chip(this.#its),
        // Time at which the translation service continues with its queue, and not a whole slice from now; null: idle.
        queueAt: {
          save: () => savedDeadline(this.#queueTimer),
          restore: (at: Readonly<Word64> | null) => {
            if (at !== null && this.#afterwards.length > 0) this.#queueTimer.armAfter(0, at)
          },
        },
      },
      { device: 'interrupt controller' },
    )
    const words = { maximumAccess: 8 } as const
    dispatch.mapInternalMmio('gic distributor', place.distributor, 0x1_0000, this.wires.distributor, words)
    const { redistributors, redistributorBytes } = this.wires
    dispatch.mapInternalMmio('gic redistributors', place.redistributors, redistributorBytes, redistributors, words)
  }

  #makeIts({ memory, guestMemory, dispatch }: Domain, base: number, allocate: AllocateRegion): Its {
    const its = new Its({
      gic: this.wires,
      memory: guestMemory,
      later: (callback) => {
        this.#afterwards.push(callback)
        this.#queueTimer.armAfter(ITS_SLICE_NS)
      },
      state: { buffer: memory.buffer, byteOffset: allocate(ITS_STATE_BYTES, 'interrupt translation') },
    })
    dispatch.mapInternalMmio('gic its', base, ITS_BYTES, its, { maximumAccess: 8 })
    return its
  }

  connect(vcpu: number, connected: boolean): void {
    this.wires.connect(vcpu, connected)
  }

  highestPending(vcpu: number): number {
    const value = { lo: INTID_NONE, hi: 0 }
    for (const encoding of [ICC_HPPIR0_EL1, ICC_HPPIR1_EL1]) {
      this.wires.readSystemRegister(vcpu, encoding, value)
      if (value.lo < INTID_FIRST_SPECIAL || value.lo > INTID_NONE) return value.lo
    }
    return INTID_NONE
  }

  /** Delivers a message by the translation service; messages to other addresses have no receiver. */
  signalMsi(address: number, data: number, requester: number): void {
    if (address === this.#translater) this.#its?.translate(requester, data)
  }
}
