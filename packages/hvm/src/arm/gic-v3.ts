import { Instant, type Timer } from '@retrap/device'
import { GicV3, gicV3StateBytes, ICC_HPPIR0_EL1, ICC_HPPIR1_EL1, Its, ITS_STATE_BYTES } from '@retrap/irqchip/gic'
import type { Domain } from '../domain.ts'
import {
  type AllocateRegion,
  type ArmInterruptController,
  type ArmInterruptsState,
  type BankedRegisters,
  type ControllerWiring,
  wrongController,
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
export class GicV3Controller implements ArmInterruptController {
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

  reset(): void {
    this.wires.reset()
    this.#its?.reset()
  }

  save(): ArmInterruptsState {
    const at = new Instant()
    const waits = this.#queueTimer.readDeadline(at)
    return {
      version: 3,
      gic: this.wires.save(),
      its: this.#its?.save() ?? null,
      queueAt: waits ? { lo: at.lo, hi: at.hi } : null,
    }
  }

  restore(state: ArmInterruptsState): void {
    if (state?.version !== 3) throw wrongController(`version ${String(state?.version)}`, 'version 3')
    const { gic, its, queueAt } = state
    if ((its === null) !== (this.#its === undefined)) {
      const [without, with_] = ['no translation service', 'a translation service']
      throw its === null ? wrongController(without, with_) : wrongController(with_, without)
    }
    this.wires.restore(gic)
    if (its !== null) this.#its?.restore(its)
    // The queue was to continue then, and not a whole slice from now.
    if (queueAt !== null && this.#afterwards.length > 0) this.#queueTimer.armAfter(0, queueAt)
  }
}
