import type { ArmDeliveredEvent } from '@retrap/arm-cpu'
import type { ArmDomain, ArmGuestWalk, ArmVcpu } from '@retrap/hvm/arm'
import { ACCESS_FETCH, ACCESS_USER, ACCESS_WRITE, ARM_FETCH, ARM_UNPRIVILEGED, ARM_WRITE } from '@retrap/paging'
import type { InstructionSet, TraceRecord } from './record.ts'
import type { Told, TracedGuest } from './traced-guest.ts'

/** Bits of PSTATE: AArch32, and Thumb. */
const PSTATE_NRW = 1 << 4
const PSTATE_T = 1 << 5
/** First INTIDs of the ranges: private, shared, special, and message-based interrupts. */
const PRIVATE = 16
const SHARED = 32
const NONE = 1020
const MESSAGES = 8192

/** An Arm board's guest. */
export class TracedArm implements TracedGuest {
  readonly #domain: ArmDomain
  readonly #told: Told

  constructor(domain: ArmDomain, told: Told) {
    this.#domain = domain
    this.#told = told
  }

  watch(steps: boolean, events: boolean, walks: boolean): void {
    for (const vcpu of this.#domain.vcpus) {
      vcpu.processor.watch({
        ...(steps && { instruction: () => this.#instruction(vcpu) }),
        ...(events && { event: (event) => this.#event(vcpu, event) }),
      })
      vcpu.translation.watch = walks ? (walk) => this.#walked(vcpu, walk) : null
    }
  }

  addressOf(id: number): bigint | undefined {
    return this.#domain.vcpus[id]?.processor.registers.pc
  }

  retiredOf(id: number): number {
    return this.#domain.vcpus[id]?.cpu.retired ?? 0
  }

  end(): void {
    for (const vcpu of this.#domain.vcpus) {
      vcpu.processor.watch(null)
      vcpu.translation.watch = null
    }
  }

  #instruction(vcpu: ArmVcpu): void {
    const { pc: address, pstate } = vcpu.processor.registers
    const cpl = levelOf(pstate)
    const mode = setOf(pstate)
    const { id } = vcpu
    const bytes = (): Uint8Array => {
      const into = new Uint8Array(4)
      return into.subarray(0, vcpu.translation.peek(address, into))
    }
    if (this.#told.wants('block')) {
      const length = (): number => (mode === 't32' && !isWide(bytes()) ? 2 : 4)
      this.#told.blocks.add({ ...this.#told.place(id), address, mode, cpl }, length)
    }
    this.#told.tell('insn', { vcpu: id, address, cpl }, () => {
      return { kind: 'insn', ...this.#told.place(id), address, bytes: bytes(), mode, cpl }
    })
  }

  #event(vcpu: ArmVcpu, { kind, syndrome, address: far }: ArmDeliveredEvent): void {
    this.#told.blocks.interrupt(vcpu.id)
    const { pc: address, pstate } = vcpu.processor.registers
    const cpl = levelOf(pstate)
    const where = { vcpu: vcpu.id, address, cpl }
    if (kind === 'exception') {
      const vector = syndrome >>> 26
      this.#told.tell('exceptions', { ...where, vector }, (): TraceRecord => {
        const more = { vector, errorCode: undefined, cr2: undefined, address, cpl, syndrome, far }
        return { kind: 'exceptions', ...this.#told.place(vcpu.id), ...more }
      })
      return
    }
    const intid = kind === 'serror' ? NONE : this.#domain.architecture.gic.highestPending(vcpu.id)
    const vector = intid >= NONE && intid < MESSAGES ? -1 : intid
    this.#told.tell('irq', { ...where, vector }, () => {
      const source = vector < 0 ? kind : sourceOf(intid)
      const event = kind === 'irq' ? 'interrupt' : kind
      return { kind: 'irq', ...this.#told.place(vcpu.id), event, vector, source, address, cpl }
    })
  }

  #walked(vcpu: ArmVcpu, { access, faultStatus, ...walk }: ArmGuestWalk): void {
    this.#told.tell('pagewalk', { vcpu: vcpu.id, address: walk.linear }, () => {
      const bits =
        ((access & ARM_WRITE) === 0 ? 0 : ACCESS_WRITE) |
        ((access & ARM_FETCH) === 0 ? 0 : ACCESS_FETCH) |
        ((access & ARM_UNPRIVILEGED) === 0 ? 0 : ACCESS_USER)
      return {
        kind: 'pagewalk',
        ...this.#told.place(vcpu.id),
        ...walk,
        access: bits,
        errorCode: undefined,
        faultStatus,
      }
    })
  }
}

/** The exception level. */
const levelOf = (pstate: number): number => ((pstate & PSTATE_NRW) === 0 ? (pstate >>> 2) & 3 : 0)

const setOf = (pstate: number): InstructionSet =>
  (pstate & PSTATE_NRW) === 0 ? 'a64' : (pstate & PSTATE_T) === 0 ? 'a32' : 't32'

/** Whether the instruction of T32 has 32 bits: its first halfword begins with 0b11101 or above. */
const isWide = (bytes: Uint8Array): boolean => (bytes[1] ?? 0) >= 0xe8

/** Formats an INTID, such as `SPI 33`. */
function sourceOf(intid: number): string {
  if (intid >= MESSAGES) return `LPI ${intid}`
  return `${intid < PRIVATE ? 'SGI' : intid < SHARED ? 'PPI' : 'SPI'} ${intid}`
}
