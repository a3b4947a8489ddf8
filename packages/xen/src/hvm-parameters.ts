import { XenErrno } from './numbers.ts'

/** `HVM_PARAM_*` by number (public header hvm/params.h), as far as anything here has to do with them. */
export const HvmParameter = {
  CALLBACK_IRQ: 0,
  STORE_PFN: 1,
  STORE_EVTCHN: 2,
  VM86_TSS: 15,
  CONSOLE_PFN: 17,
  CONSOLE_EVTCHN: 18,
  ACPI_IOPORTS_LOCATION: 19,
  VM_GENERATION_ID_ADDR: 34,
  ALTP2M: 35,
  X87_FIP_WIDTH: 36,
  VM86_TSS_SIZED: 37,
} as const

/** Parameters there are. */
export const HVM_PARAMETERS = 39

interface Rule {
  /** Whether the guest may set the parameter to a value. Absent: to none. */
  readonly write?: (value: bigint, old: bigint) => boolean
}

type Rules = Readonly<Partial<Record<number, Rule>>>

/** The parameters of the guests of an architecture. */
interface ParameterRules {
  /** Parameters that the guest may read; their rules say which it may set. */
  readonly byNumber: Rules
  /** The error for all other existing parameters. */
  readonly denied: number
}

const anything = { write: () => true }

/** Parameters that an x86 guest may read; the others are between toolstack, device models and hypervisor. */
const X86: Rules = {
  [HvmParameter.CALLBACK_IRQ]: anything,
  [HvmParameter.STORE_PFN]: {},
  [HvmParameter.STORE_EVTCHN]: anything,
  // Other vendors' processors need these for real-address mode; here the values are only stored.
  [HvmParameter.VM86_TSS]: anything,
  [HvmParameter.VM86_TSS_SIZED]: anything,
  [HvmParameter.CONSOLE_PFN]: {},
  [HvmParameter.CONSOLE_EVTCHN]: anything,
  // The board determines the power-management ports, which cannot move.
  [HvmParameter.ACPI_IOPORTS_LOCATION]: { write: (value, old) => value === old },
  [HvmParameter.VM_GENERATION_ID_ADDR]: anything,
  [HvmParameter.ALTP2M]: {},
  [HvmParameter.X87_FIP_WIDTH]: { write: (value) => value === 0n || value === 4n || value === 8n },
}

/** Parameters that an Arm guest may read: the toolstack sets them. Other parameters do not exist. */
const ARM: Rules = {
  [HvmParameter.CALLBACK_IRQ]: {},
  [HvmParameter.STORE_PFN]: {},
  [HvmParameter.STORE_EVTCHN]: {},
  [HvmParameter.CONSOLE_PFN]: {},
  [HvmParameter.CONSOLE_EVTCHN]: {},
}

const RULES: Readonly<Record<'x86' | 'arm', ParameterRules>> = {
  x86: { byNumber: X86, denied: XenErrno.PERM },
  arm: { byNumber: ARM, denied: XenErrno.INVAL },
}

/** Values that a guest and its toolstack exchange. */
export class HvmParameters {
  readonly #values: BigUint64Array = new BigUint64Array(HVM_PARAMETERS)
  readonly #rules: ParameterRules

  constructor(architecture: 'x86' | 'arm' = 'x86') {
    this.#rules = RULES[architecture]
  }

  /** Returns a parameter for the toolstack. */
  get(index: number): bigint {
    return this.#values[index] ?? 0n
  }

  /** Sets any parameter to any value, as the toolstack may. */
  set(index: number, value: number | bigint): void {
    this.#values[index] = BigInt(value)
  }

  /** Whether a parameter exists. */
  has(index: number): boolean {
    return index < HVM_PARAMETERS
  }

  /** Whether the guest may read one: 0, or an error. */
  mayRead(index: number): number {
    return this.#rules.byNumber[index] === undefined ? this.#rules.denied : 0
  }

  /** Whether the guest may set one to a value: 0, or an error. */
  mayWrite(index: number, value: bigint): number {
    const { byNumber, denied } = this.#rules
    const rule = byNumber[index]
    if (rule === undefined) return denied
    if (rule.write === undefined) return XenErrno.PERM
    return rule.write(value, this.get(index)) ? 0 : XenErrno.INVAL
  }

  /** Power-on: what the guest has set is zero. */
  reset(): void {
    for (const [index, rule] of Object.entries(this.#rules.byNumber))
      if (rule?.write !== undefined) this.set(Number(index), 0)
  }

  /** Returns all parameters in order, in hexadecimal. */
  save(): string[] {
    return Array.from(this.#values, (value) => value.toString(16))
  }

  /** Takes saved values. */
  restore(values: readonly string[]): void {
    for (const [index, value] of values.entries()) this.set(index, BigInt(`0x${value}`))
  }
}
