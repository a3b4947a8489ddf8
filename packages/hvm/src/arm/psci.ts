/**
 * Calls of the guest by the SMC Calling Convention: PSCI, with which it starts and stops vCPUs and the machine.
 *
 * Source: Arm DEN 0028 "SMC Calling Convention", DEN 0022 "Power State Coordination Interface" 1.1.
 */

/** Answers. */
const SUCCESS = 0
const NOT_SUPPORTED = -1
const INVALID_PARAMETERS = -2
const ALREADY_ON = -4
const ON_PENDING = -5
const INVALID_ADDRESS = -9

/** Functions of the SMC calling convention itself. */
const SMCCC_VERSION = 0x8000_0000
const SMCCC_ARCH_FEATURES = 0x8000_0001

/** Functions of PSCI; functions with addresses have a 64-bit form as well. */
const PSCI_VERSION = 0x8400_0000
const CPU_SUSPEND = 0x8400_0001
const CPU_OFF = 0x8400_0002
const CPU_ON = 0x8400_0003
const AFFINITY_INFO = 0x8400_0004
const MIGRATE_INFO_TYPE = 0x8400_0006
const SYSTEM_OFF = 0x8400_0008
const SYSTEM_RESET = 0x8400_0009
const PSCI_FEATURES = 0x8400_000a
const SYSTEM_RESET2 = 0x8400_0012
/** Bit of a function that takes and gives 64-bit values. */
const IS_64 = 0x4000_0000

/** Functions with a 32-bit form and a 64-bit form. */
const BOTH: ReadonlySet<number> = new Set([CPU_SUSPEND, CPU_ON, AFFINITY_INFO, SYSTEM_RESET2])

/** Fields of a power state: its number, and whether registers are lost (5.4.2, "power_state", original format). */
const STATE_FIELDS = 0x1_ffff
const POWER_DOWN = 1 << 16

/** The state of a vCPU, in the encoding of AFFINITY_INFO. */
export const PowerState = {
  ON: 0,
  OFF: 1,
  ON_PENDING: 2,
} as const

/** A value of `PowerState`. */
export type PowerState = (typeof PowerState)[keyof typeof PowerState]

/** The domain, as far as PSCI calls act on it. */
export interface PsciWorld {
  /** The number of the vCPU with an affinity, as in MPIDR_EL1; −1 for none. */
  vcpuOf(affinity: number): number
  /** How a vCPU is. */
  powerOf(vcpu: number): PowerState
  /** Starts a vCPU at EL1, with a value in X0. */
  turnOn(vcpu: number, entry: bigint, context: bigint): void
  /** Stops the vCPU that calls. */
  turnOff(): void
  /** Makes the calling vCPU wait for an interrupt, and continue afterwards. */
  standBy(): void
  /** The vCPU that calls waits for an interrupt, and starts again as `turnOn` would have it. */
  suspend(entry: bigint, context: bigint): void
  /** Whether code can begin at a guest-physical address. */
  isCode(address: bigint): boolean
  powerOff(): void
  reset(): void
}

/** The registers of the vCPU that calls. */
export interface CallRegisters {
  x(number: number): bigint
  setX(number: number, value: bigint): void
}

/** Bits of an affinity: Aff3, and Aff2 to Aff0. */
const AFFINITY_BITS = 0xff_00ff_ffffn

const affinityOf = (value: bigint): number => Number(value & AFFINITY_BITS)

/** Whether a function is implemented. */
function has(id: number): boolean {
  if (CALLS[id] !== undefined) return true
  const narrow = (id & ~IS_64) >>> 0
  return id !== narrow && BOTH.has(narrow)
}

/** Starts a vCPU. @returns an answer */
function turnOn(world: PsciWorld, target: bigint, entry: bigint, context: bigint): number {
  if ((target & ~AFFINITY_BITS) !== 0n) return INVALID_PARAMETERS
  const vcpu = world.vcpuOf(affinityOf(target))
  if (vcpu < 0) return INVALID_PARAMETERS
  const power = world.powerOf(vcpu)
  if (power !== PowerState.OFF) return power === PowerState.ON ? ALREADY_ON : ON_PENDING
  if ((entry & 3n) !== 0n || !world.isCode(entry)) return INVALID_ADDRESS
  world.turnOn(vcpu, entry, context)
  return SUCCESS
}

/**
 * Has the vCPU that calls wait for an interrupt, whether or not that is masked: with all that it has, or as after a reset, from
 * an entry point on, if the state is one of no power. Of levels of power there is one, that of a processor.
 *
 * @returns a result for X0, which the vCPU sees if it keeps its state
 */
function suspend(world: PsciWorld, state: number, entry: bigint, context: bigint): number {
  if ((state & ~STATE_FIELDS) !== 0) return INVALID_PARAMETERS
  if ((state & POWER_DOWN) === 0) world.standBy()
  else if ((entry & 3n) !== 0n || !world.isCode(entry)) return INVALID_ADDRESS
  else world.suspend(entry, context)
  return SUCCESS
}

/** @returns an answer */
function affinityInfo(world: PsciWorld, target: bigint, level: bigint): number {
  // Levels above that of a vCPU need not be known.
  if (level !== 0n || (target & ~AFFINITY_BITS) !== 0n) return INVALID_PARAMETERS
  const vcpu = world.vcpuOf(affinityOf(target))
  return vcpu < 0 ? INVALID_PARAMETERS : world.powerOf(vcpu)
}

/** Executes a call by HVC or SMC with immediate 0; a result goes to X0. */
export function psciCall(world: PsciWorld, registers: CallRegisters): void {
  const id = Number(registers.x(0) & 0xffff_ffffn)
  const is64 = (id & IS_64) !== 0
  const argument = (i: number): bigint => (is64 ? registers.x(i) : registers.x(i) & 0xffff_ffffn)
  const answer = (value: number): void =>
    registers.setX(0, is64 ? BigInt.asUintN(64, BigInt(value)) : BigInt(value >>> 0))
  const result = has(id) ? CALLS[is64 ? (id & ~IS_64) >>> 0 : id]!(world, argument) : NOT_SUPPORTED
  if (result !== undefined) answer(result)
}

/** The first argument, of 32 bits. */
const firstWord = (argument: (i: number) => bigint): number => Number(argument(1) & 0xffff_ffffn)
/** Both interfaces have version 1.1. */
const version = (): number => 0x1_0001
function reset(world: PsciWorld): void {
  world.reset()
}

/** The calls by their 32-bit numbers; undefined for a call that does not return. */
const CALLS: Readonly<Record<number, (world: PsciWorld, argument: (i: number) => bigint) => number | void>> = {
  [SMCCC_VERSION]: version,
  [PSCI_VERSION]: version,
  [CPU_SUSPEND]: (world, argument) => suspend(world, firstWord(argument), argument(2), argument(3)),
  [CPU_OFF]: (world) => {
    world.turnOff()
  },
  [CPU_ON]: (world, argument) => turnOn(world, argument(1), argument(2), argument(3)),
  [AFFINITY_INFO]: (world, argument) => affinityInfo(world, argument(1), argument(2)),
  // There is no trusted operating system that would have to move.
  [MIGRATE_INFO_TYPE]: () => 2,
  [SYSTEM_OFF]: (world) => {
    world.powerOff()
  },
  [SYSTEM_RESET]: reset,
  [SYSTEM_RESET2]: reset,
  [SMCCC_ARCH_FEATURES]: (_, argument) =>
    [SMCCC_VERSION, SMCCC_ARCH_FEATURES].includes(firstWord(argument)) ? SUCCESS : NOT_SUPPORTED,
  [PSCI_FEATURES]: (_, argument) => (has(firstWord(argument)) ? SUCCESS : NOT_SUPPORTED),
}
