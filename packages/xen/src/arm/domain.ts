/** A guest of Arm processors as the hypercalls see it: all that this package needs of the domain that it stands on. */
import type { XenDomainCalls, XenHost } from '../architecture.ts'

/** A guest's Arm vCPU, as the hypercalls see it. */
export interface XenArmVcpu {
  /** Number. */
  readonly id: number
  /** Whether the vCPU has been started, as PSCI has it: 0 for a vCPU that is on. */
  readonly power: number
  readonly processor: {
    readonly registers: {
      /** X0 to X30. */
      x(number: number): bigint
      /** Sets X0 to X30. */
      setX(number: number, value: bigint): void
      /** PSTATE in SPSR_EL1's format. */
      pstate: number
    }
    /** Whether an interrupt waits that PSTATE lets EL1 take now. */
    readonly interruptWaits: boolean
  }
  /** Ends the vCPU's turn, in addition to any other reason for returning to the domain. */
  readonly cpu: { endTurn(): void }
  /** Virtual addresses. */
  readonly translation: {
    /** Translates a virtual address with the rights of EL1. @returns the guest-physical address, or −1 */
    guestPhysical(lo: number, hi: number, write: boolean): number
  }
}

/** The calls that an Arm domain makes to the interface that is plugged into it. */
export interface XenArmCalls extends XenDomainCalls {
  /** The number in the HVC instructions that are hypercalls. */
  readonly hypercallTag: number
  /** Makes the hypercall that a vCPU's registers describe. @returns whether HVC is to be executed again */
  hypercall(vcpu: number): boolean
  /** The interrupt controller has an interrupt for a vCPU. */
  interrupted(vcpu: number): void
  /** Called before a vCPU reads or writes a register of the interrupt controller. */
  beforeInterruptAccess(vcpu: number): void
}

/** A guest of Arm processors, as the hypercalls see it. `ArmDomain` of `@retrap/hvm/arm` is one. */
export interface XenArmDomain extends XenHost {
  /** By number. */
  readonly vcpus: readonly XenArmVcpu[]
  /** Drives a vCPU's private interrupt, 16 to 31. */
  setPrivateInterrupt(vcpu: number, intid: number, level: boolean): void
  /** Has the domain make these calls from now on. */
  plug(calls: XenArmCalls): void
}

/** Addresses of Xen's pages on an Arm board, and Xen's interrupt. */
export interface XenArmPlaces {
  /** Guest frame of the store's ring. */
  readonly storeFrame: number
  /** Guest frame of the console's ring. */
  readonly consoleFrame: number
  /** The private interrupt that tells of events, 16 to 31: level-sensitive. */
  readonly eventInterrupt: number
}
