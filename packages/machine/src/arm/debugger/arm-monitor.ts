import type { ArmDomain } from '@retrap/hvm/arm'
import { ArmP2mType } from '@retrap/p2m'
import { explainArm } from '@retrap/paging'
import type { MachineDebugger } from '../../debugger/machine-debugger.ts'
import { breakCommands, type MonitorStops } from '../../debugger/break-commands.ts'
import {
  catchCommands,
  hex,
  Monitor,
  type MonitorCommand,
  parseAddress,
  pendingCommand,
} from '../../debugger/monitor.ts'
import { machineCommands } from '../../debugger/machine-commands.ts'
import { Signal } from '@retrap/gdb'

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

export const exceptionClassName = (number: number): string =>
  CLASSES.find(([each]) => each === number)?.[1] ?? `0x${number.toString(16)}`

export const exceptionClassSignal = (number: number): number =>
  CLASSES.find(([each]) => each === number)?.[2] ?? Signal.TRAP

/** PSTATE.I and PSTATE.F. */
const STATUS_I = 1n << 7n
const STATUS_F = 1n << 6n

/** The `monitor` commands of an Arm machine. */
export function armMonitor(
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
