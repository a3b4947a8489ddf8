import { ArmDebugControl, type ArmRegisters, SYSTEM_REGISTERS, type SystemRegisterName } from '@retrap/arm-cpu'
import { arm64Registers, Signal, type TargetCode } from '@retrap/gdb'
import { type ArmDomain, type ArmVcpu, PowerState } from '@retrap/hvm/arm'
import type { DebuggedCpu, PlaceRules } from '../../debugger/debugged-cpu.ts'
import { attachDebugger, type DebuggedMachine, type MachineDebugger } from '../../debugger/machine-debugger.ts'
import { breakCommands, type MonitorStops, StopList } from '../../debugger/break-commands.ts'
import { armCallersOf } from '../call-stack.ts'
import { ArmP2mType } from '@retrap/p2m'
import { explainArm } from '@retrap/paging'
import {
  catchCommands,
  hex,
  Monitor,
  type MonitorCommand,
  parseAddress,
  pendingCommand,
} from '../../debugger/monitor.ts'
import { machineCommands } from '../../debugger/machine-commands.ts'
import type { GdbMachine, MachineGdbOptions, MonitorAdditions } from '../../debugger/machine-gdb-target.ts'

export { machineGdbTarget } from '../../debugger/machine-gdb-target.ts'

/** System registers that nothing but their readers depends on. */
const WRITABLE: ReadonlySet<string> = new Set([
  'contextidr_el1',
  'elr_el1',
  'esr_el1',
  'far_el1',
  'par_el1',
  'sp_el0',
  'sp_el1',
  'tpidrro_el0',
  'tpidr_el0',
  'tpidr_el1',
  'vbar_el1',
])

/** Names of system registers as gdb sees them, which are the manual's. */
const ARM_SYSTEM_NAMES: readonly string[] = SYSTEM_REGISTERS.map((name) => name.toUpperCase())

const BY_NAME: ReadonlyMap<string, SystemRegisterName> = new Map(
  SYSTEM_REGISTERS.map((name) => [name.toUpperCase(), name]),
)

/** The bits that FPCR and FPSR have (Arm ARM, C5.2). */
const FPCR_BITS = 0x07c8_0000n
const FPSR_BITS = 0xf800_009fn

const NUMBERED = /^([xv])(\d|[12]\d|3[01])$/

/** Reads a register of a processor that stands still; undefined for a name that does not exist. */
function readArmRegister(registers: ArmRegisters, name: string): bigint | undefined {
  const [, file, number] = NUMBERED.exec(name) ?? []
  if (file === 'v') return registers.v(Number(number))
  if (file === 'x') return number === '31' ? undefined : registers.x(Number(number))
  switch (name) {
    case 'sp':
      return registers.sp
    case 'pc':
      return registers.pc
    case 'cpsr':
      return BigInt((registers.pstate | registers.nzcv) >>> 0)
    case 'fpcr':
      return BigInt(registers.fpcr)
    case 'fpsr':
      return BigInt(registers.fpsr)
    default: {
      const system = BY_NAME.get(name)
      return system === undefined ? undefined : registers.get(system)
    }
  }
}

/** Writes a register. @returns false for an unknown register or an impossible value */
function writeArmRegister(registers: ArmRegisters, name: string, value: bigint): boolean {
  const [, file, number] = NUMBERED.exec(name) ?? []
  if (file === 'v') registers.setV(Number(number), value)
  else if (file === 'x' && number !== '31') registers.setX(Number(number), value)
  else if (name === 'sp') registers.sp = value
  else if (name === 'pc') registers.pc = value
  else if (name === 'fpcr') registers.fpcr = Number(value & FPCR_BITS)
  else if (name === 'fpsr') registers.fpsr = Number(value & FPSR_BITS)
  else if (name === 'cpsr') return writeStatus(registers, Number(value))
  else {
    const system = BY_NAME.get(name)
    if (system === undefined || !WRITABLE.has(system)) return false
    registers.set(system, value)
  }
  return true
}

function writeStatus(registers: ArmRegisters, value: number): boolean {
  try {
    registers.pstate = value & 0x0fff_ffff
  } catch (error) {
    // The processor has no such register.
    if (error instanceof RangeError) return false
    throw error
  }
  registers.nzcv = (value & 0xf000_0000) >>> 0
  return true
}

/** Ports of PCI are device memory; system registers are no stops. */
export const ARM_PLACES: PlaceRules = { kinds: ['mmio'], exceptions: 64 }

/** Attaches a debugger to an Arm machine. */
export function attachArmDebugger(
  domain: ArmDomain,
  life: DebuggedMachine['life'],
  isRecorded: boolean,
): MachineDebugger {
  return attachDebugger({
    ...{ domain, life, isRecorded },
    cpus: domain.vcpus.map((vcpu) => new ArmDebuggedCpu(vcpu)),
    registers: arm64Registers(ARM_SYSTEM_NAMES),
    monitor: (debug, further) => {
      const list = new StopList((place) => debug.stopAt(place), exceptionClassName)
      return armMonitor(domain, debug, { list, catching: debug }, further)
    },
  })
}

/** PSTATE.nRW and PSTATE.T: AArch32, and Thumb code in it. */
const [PSTATE_NRW, PSTATE_T] = [0x10, 0x20]

/** A vCPU of an Arm machine. */
class ArmDebuggedCpu extends ArmDebugControl implements DebuggedCpu {
  readonly #vcpu: ArmVcpu
  readonly memory: ArmVcpu['translation']
  readonly places = ARM_PLACES
  readonly state: DebuggedCpu['state']

  constructor(vcpu: ArmVcpu) {
    super(vcpu.processor)
    this.#vcpu = vcpu
    this.memory = vcpu.translation
    const { cpu, processor } = vcpu
    this.state = {
      read: (name) => readArmRegister(processor.registers, name),
      write: (name, value) => !cpu.busy && writeArmRegister(processor.registers, name, value),
    }
  }

  get activity(): string {
    const { cpu, dormant, power } = this.#vcpu
    if (cpu.busy) return 'waits for a device'
    if (power !== PowerState.ON) return 'off'
    return dormant ? 'waits' : 'executes'
  }

  get code(): TargetCode {
    const vcpu = this.#vcpu
    const { pc, pstate } = vcpu.processor.registers
    const set = (pstate & PSTATE_NRW) === 0 ? 'a64' : (pstate & PSTATE_T) === 0 ? 'a32' : 'thumb'
    return {
      address: pc,
      get callers() {
        return armCallersOf(vcpu)
      },
      set,
    }
  }
}

/**
 * Exception classes that can be caught, by names of ours, with the signals that Linux makes of them.
 *
 * Source: Arm ARM (DDI 0487) D24.2.40, "ESR_EL1", field EC.
 */
const CLASSES: readonly (readonly [number: number, name: string, signal: number])[] = [
  [0x00, 'undefined', Signal.ILL],
  [0x07, 'fp', Signal.ILL],
  [0x0d, 'bti', Signal.ILL],
  [0x0e, 'illegal-state', Signal.ILL],
  [0x11, 'svc32', Signal.TRAP],
  [0x15, 'svc', Signal.TRAP],
  [0x18, 'system-register', Signal.ILL],
  [0x20, 'instruction-abort', Signal.SEGV],
  [0x22, 'pc-alignment', Signal.BUS],
  [0x24, 'data-abort', Signal.SEGV],
  [0x26, 'sp-alignment', Signal.BUS],
  [0x30, 'breakpoint', Signal.TRAP],
  [0x32, 'step', Signal.TRAP],
  [0x34, 'watchpoint', Signal.TRAP],
  [0x38, 'bkpt', Signal.TRAP],
  [0x3c, 'brk', Signal.TRAP],
]

/** The number of an exception class, from its name or number; undefined for none. */
function exceptionClassNumber(word: string): number | undefined {
  const [named] = CLASSES.find(([, name]) => name === word.toLowerCase()) ?? []
  if (named !== undefined) return named
  const number = /^(0x[\da-f]{1,2}|\d{1,2})$/i.test(word) ? Number(word) : 64
  return number < 64 ? number : undefined
}

const exceptionClassName = (number: number): string =>
  CLASSES.find(([each]) => each === number)?.[1] ?? `0x${number.toString(16)}`

const exceptionClassSignal = (number: number): number => CLASSES.find(([each]) => each === number)?.[2] ?? Signal.TRAP

/** PSTATE.I and PSTATE.F. */
const STATUS_I = 1n << 7n
const STATUS_F = 1n << 6n

/** The `monitor` commands of an Arm machine. */
function armMonitor(
  domain: ArmDomain,
  debug: MachineDebugger,
  { list, catching }: MonitorStops,
  further: readonly MonitorCommand[],
): Monitor {
  const names = {
    examples: ['data-abort', '0x3c', 'svc'],
    parse: exceptionClassNumber,
    format: exceptionClassName,
  }
  return new Monitor([
    ...machineCommands(domain, ArmP2mType),
    ...catchCommands(catching, names),
    ...breakCommands(list, names),
    {
      usage: 'interrupts',
      help: 'what waits at the interrupt controller',
      run: () => describeInterrupts(domain, debug),
    },
    pendingCommand(domain, (id) => debug.register('pc', id), describeAbort),
    {
      usage: 'walk ADDRESS',
      help: 'translation tables of a virtual address',
      run: (cpu, [text]) => describeWalk(domain, cpu, text),
    },
    ...further,
  ])
}

function describeInterrupts({ vcpus, architecture }: ArmDomain, debug: MachineDebugger): string {
  const { gic } = architecture
  let text = `GICv${gic.systemRegisters === null ? 2 : 3}\n`
  for (const { id, processor } of vcpus) {
    const status = debug.register('cpsr', id)
    const masked = [(status & STATUS_I) !== 0n && 'IRQ', (status & STATUS_F) !== 0n && 'FIQ'].filter(Boolean)
    const waiting = [gic.wires.irqPending(id) && 'an IRQ', gic.wires.fiqPending(id) && 'a FIQ'].filter(Boolean)
    text += `CPU ${id}: ${masked.length === 0 ? 'nothing' : masked.join(' and ')} masked`
    text += `, ${waiting.length === 0 ? 'no interrupt' : waiting.join(' and ')} waits`
    text += processor.interruptWaits ? ', can be taken now\n' : '\n'
  }
  return text
}

/** The syndrome of the abort for which an instruction waits, field by field. */
function describeAbort({ cpu }: ArmDomain['vcpus'][number]): string {
  const abort = cpu.describeAbort()
  if (abort === null) return ''
  const { register, syndrome, sentence, address, gpa, fields } = abort
  const where = gpa === null ? 'HPFAR_EL2 has no address' : `guest-physical ${hex(gpa)}`
  const lines = fields.map(({ name, bits, value, text }) => `    ${name} ${bits}: ${hex(value)}, ${text}\n`)
  return `  ${register} ${hex(syndrome)} at ${hex(address)}, ${where}: ${sentence}\n${lines.join('')}`
}

function describeWalk(domain: ArmDomain, cpu: number, text: string | undefined): string {
  const address = parseAddress(text)
  const vcpu = domain.vcpus[cpu]
  if (address === undefined || vcpu === undefined) return 'write walk ADDRESS\n'
  const { steps, outcome } = vcpu.translation.explainBy(explainArm, address)
  const lines = steps.map(({ level, gpa, value, leads, bits }) => {
    const what = value === undefined ? [leads] : [hex(value), ...bits, leads]
    return `level ${level}, ${hex(gpa)}: ${what.join(' ')}\n`
  })
  if (outcome.kind === 'mapped') return `${lines.join('')}${hex(address)} is guest-physical ${hex(outcome.gpa)}\n`
  return `${lines.join('')}${hex(address)} is not mapped for a read by EL1\n`
}

/** How an Arm machine is shown to gdb. */
export type ArmGdbOptions = MachineGdbOptions

/** Shows an Arm machine to gdb. @param additions - commands of its kind of run */
export function armGdbMachine(
  domain: ArmDomain,
  debug: MachineDebugger,
  options: ArmGdbOptions,
  { commands, stops }: MonitorAdditions,
): GdbMachine {
  return {
    registers: debug.registers,
    monitor: armMonitor(domain, debug, stops, [...commands, ...(options.commands ?? [])]),
    signalOf: exceptionClassSignal,
    exceptionName: exceptionClassName,
    isAtBreakpoint: () => true,
    watchesBefore: true,
  }
}
